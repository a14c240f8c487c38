{{- define "sqsonce.name" -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "sqsonce.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sqsonce.labels" -}}
{{ include "sqsonce.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sqsonce.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "sqsonce.name" .) -}}
{{- end -}}

{{/* The Region: as given, or the one in the queue's URL. */}}
{{- define "sqsonce.region" -}}
{{- $region := .Values.region | default (regexReplaceAll "^https?://(sqs\\.([a-z0-9-]+)\\.amazonaws\\.com.*|([a-z0-9-]+)\\.queue\\.amazonaws\\.com.*|.*)$" .Values.queue.url "${2}${3}") -}}
{{- required (printf "region: needed, because queue.url %q names none" .Values.queue.url) $region -}}
{{- end -}}

{{/* What the worker has for its stop: the drain, and what comes after it (docs/worker.md, Stopping). */}}
{{- define "sqsonce.workerStop" -}}
{{- add (int64 .Values.worker.drainSeconds) 5 -}}
{{- end -}}

{{/* The pod's time to stop: the worker's, then the app's. */}}
{{- define "sqsonce.grace" -}}
{{- $least := int64 (include "sqsonce.workerStop" .) -}}
{{- if .Values.app.image -}}
{{- $least = add $least (int64 .Values.app.stopSeconds) -}}
{{- end -}}
{{- $grace := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $grace -}}
{{- $least -}}
{{- else if lt (int64 $grace) $least -}}
{{- fail (printf "terminationGracePeriodSeconds %d: must be at least %d: worker.drainSeconds %d, 5 for the worker's end%s" (int64 $grace) $least (int64 .Values.worker.drainSeconds) (ternary (printf ", app.stopSeconds %d" (int64 .Values.app.stopSeconds)) "" (ne .Values.app.image ""))) -}}
{{- else -}}
{{- int64 $grace -}}
{{- end -}}
{{- end -}}

{{/* The text of a variable. A number in a values file is a float, which toString would write as 1e+07. */}}
{{- define "sqsonce.text" -}}
{{- if kindIs "string" . }}{{ . | quote }}{{ else }}{{ . | toJson | quote }}{{ end -}}
{{- end -}}

{{/* Exactly one of the three handles messages. */}}
{{- define "sqsonce.checkHandler" -}}
{{- $chosen := list -}}
{{- if .Values.app.image }}{{ $chosen = append $chosen (printf "app.image %q" .Values.app.image) }}{{ end -}}
{{- if .Values.target.url }}{{ $chosen = append $chosen (printf "target.url %q" .Values.target.url) }}{{ end -}}
{{- if .Values.demo }}{{ $chosen = append $chosen "demo true" }}{{ end -}}
{{- if eq (len $chosen) 0 }}{{ fail "app.image: needed, or target.url, or demo: true: something has to handle the messages" }}{{ end -}}
{{- if gt (len $chosen) 1 }}{{ fail (printf "%s: only one of app.image, target.url and demo may be set" (join ", " $chosen)) }}{{ end -}}
{{- end -}}

{{/* Names of the worker's variables that the chart itself sets. */}}
{{- define "sqsonce.checkEnv" -}}
{{- range $name, $value := .Values.worker.env -}}
{{- if has $name (list "SQSONCE_QUEUE_URL" "SQSONCE_DLQ_URL" "SQSONCE_TABLE" "SQSONCE_CONCURRENCY" "SQSONCE_MAX_ATTEMPTS" "SQSONCE_VISIBILITY" "SQSONCE_LEASE" "SQSONCE_WINDOW" "SQSONCE_TARGET_TIMEOUT" "SQSONCE_DRAIN_TIMEOUT" "SQSONCE_STOP_TIMEOUT" "SQSONCE_KEY" "SQSONCE_FINGERPRINT" "SQSONCE_ON_UNKNOWN" "SQSONCE_METRICS_ADDR" "SQSONCE_ADMIN_ADDR" "SQSONCE_TARGET_URL" "SQSONCE_TARGET_HEALTH" "SQSONCE_HANDLER" "SQSONCE_LOCAL" "AWS_REGION" "GOMEMLIMIT") -}}
{{- fail (printf "worker.env.%s %q: has a value of its own; see values.yaml" $name $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* KEDA's queueLength: the messages, waiting and in flight, that one pod is meant to have. */}}
{{- define "sqsonce.queueLength" -}}
{{- $k := .Values.keda -}}
{{- mulf .Values.worker.concurrency (addf 1 (divf $k.latencySeconds $k.handleSeconds)) | ceil | int64 -}}
{{- end -}}
