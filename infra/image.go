package infra

import (
	"regexp"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecr"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecrassets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	// Paths of the binaries in the image.
	workerBinary   = "/worker"
	producerBinary = "/producer"
)

type imageProps struct {
	Config Config
}

// newImage returns the image of worker and producer. An image that is built at deployment consists
// of the Dockerfile and the static binaries of one architecture in dist. Other files there do not
// change it.
func newImage(scope constructs.Construct, id string, props *imageProps) awsecs.ContainerImage {
	if uri := props.Config.Worker.Image; uri != "" {
		return registryImage(scope, id, uri)
	}
	arch, platform := "arm64", awsecrassets.Platform_LINUX_ARM64()
	if props.Config.Worker.Arch == "amd64" {
		arch, platform = "amd64", awsecrassets.Platform_LINUX_AMD64()
	}
	return awsecs.ContainerImage_FromDockerImageAsset(awsecrassets.NewDockerImageAsset(scope, &id, &awsecrassets.DockerImageAssetProps{
		Directory:  &props.Config.Source,
		Exclude:    jsii.Strings("*", "!Dockerfile", "!dist/"+arch),
		IgnoreMode: awscdk.IgnoreMode_DOCKER,
		Platform:   platform,
		// BuildKit sets it; older builders do not.
		BuildArgs: &map[string]*string{"TARGETARCH": &arch},
	}))
}

// ecrImage matches the URI of an image in a private registry of ECR.
var ecrImage = regexp.MustCompile(`^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?:[:@](.+))?$`)

// registryImage returns the image with the given URI. For an image in ECR it grants the task's
// execution role the right to pull.
func registryImage(scope constructs.Construct, id, uri string) awsecs.ContainerImage {
	parts := ecrImage.FindStringSubmatch(uri)
	if parts == nil {
		return awsecs.ContainerImage_FromRegistry(&uri, nil)
	}
	account, region, name, tag := parts[1], parts[2], parts[3], parts[4]
	if tag == "" {
		tag = "latest"
	}
	arn := awscdk.Stack_Of(scope).FormatArn(&awscdk.ArnComponents{
		Service: jsii.String("ecr"), Account: &account, Region: &region,
		Resource: jsii.String("repository"), ResourceName: &name,
	})
	repository := awsecr.Repository_FromRepositoryAttributes(scope, &id, &awsecr.RepositoryAttributes{
		RepositoryArn: arn, RepositoryName: &name,
	})
	return awsecs.ContainerImage_FromEcrRepository(repository, &tag)
}
