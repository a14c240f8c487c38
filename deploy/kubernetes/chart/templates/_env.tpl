{{- define "sqsonce.env" -}}
- {name: AWS_REGION, value: {{ include "sqsonce.region" . | quote }}}
- {name: SQSONCE_QUEUE_URL, value: {{ .Values.queue.url | quote }}}
{{- with .Values.queue.dlqUrl }}
- {name: SQSONCE_DLQ_URL, value: {{ . | quote }}}
{{- end }}
- {name: SQSONCE_TABLE, value: {{ .Values.table | quote }}}
- {name: SQSONCE_CONCURRENCY, value: {{ .Values.worker.concurrency | quote }}}
- {name: SQSONCE_MAX_ATTEMPTS, value: {{ .Values.worker.maxAttempts | quote }}}
- {name: SQSONCE_VISIBILITY, value: {{ .Values.worker.visibility | quote }}}
- {name: SQSONCE_LEASE, value: {{ .Values.worker.lease | quote }}}
- {name: SQSONCE_WINDOW, value: {{ .Values.worker.window | quote }}}
- {name: SQSONCE_ON_UNKNOWN, value: {{ .Values.worker.onUnknown | quote }}}
{{- with .Values.worker.key }}
- {name: SQSONCE_KEY, value: {{ . | quote }}}
{{- end }}
{{- with .Values.worker.fingerprint }}
- {name: SQSONCE_FINGERPRINT, value: {{ . | quote }}}
{{- end }}
- {name: SQSONCE_DRAIN_TIMEOUT, value: "{{ int64 .Values.worker.drainSeconds }}s"}
- {name: SQSONCE_STOP_TIMEOUT, value: "{{ include "sqsonce.workerStop" . }}s"}
- {name: SQSONCE_METRICS_ADDR, value: ":{{ .Values.metrics.port }}"}
{{- if .Values.app.image }}
- {name: SQSONCE_TARGET_URL, value: "http://127.0.0.1:{{ .Values.app.port }}{{ .Values.app.path }}"}
{{- with .Values.app.health }}
- {name: SQSONCE_TARGET_HEALTH, value: {{ . | quote }}}
{{- end }}
{{- else if .Values.target.url }}
- {name: SQSONCE_TARGET_URL, value: {{ .Values.target.url | quote }}}
{{- with .Values.target.health }}
- {name: SQSONCE_TARGET_HEALTH, value: {{ . | quote }}}
{{- end }}
{{- else }}
- {name: SQSONCE_HANDLER, value: log}
{{- end }}
{{- if not .Values.demo }}
- {name: SQSONCE_TARGET_TIMEOUT, value: {{ .Values.worker.targetTimeout | quote }}}
{{- end }}
{{- with .Values.worker.goMemLimit }}
- {name: GOMEMLIMIT, value: {{ . | quote }}}
{{- end }}
{{- range $name, $value := .Values.worker.env }}
- {name: {{ $name | quote }}, value: {{ include "sqsonce.text" $value }}}
{{- end }}
{{- end -}}
