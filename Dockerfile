# The binaries are built on the host ("make image"): the image holds them and nothing else; the
# certificate roots are in them. Producer: --entrypoint /producer.
FROM scratch
ARG TARGETARCH
COPY dist/${TARGETARCH}/worker dist/${TARGETARCH}/producer /
USER 65532:65532
ENTRYPOINT ["/worker"]
