{{- /* A container beside the connector's: without certificates vehicles reach that on loopback only. */}}
{{- define "sovd.simulator" -}}
{{- with .Values.local.simulator }}
{{- if .enabled -}}
- name: simulator
  image: {{ include "sovd.image" (list $ .image) }}
  imagePullPolicy: {{ $.Values.image.pullPolicy }}
  env:
    {{- include "sovd.fromSecret" (list $ "VEHICLE_CREDENTIAL_SECRET" "vehicle-credential-secret") | nindent 4 }}
    - { name: CONNECTOR_ADDRESS, value: "localhost:50052" }
    - { name: VEHICLES, value: {{ .vehicles | quote }} }
    - { name: DEMO_DATA, value: {{ $.Values.config.demoData | quote }} }
    - { name: LOG_FORMAT, value: json }
    - { name: METRICS_PORT, value: "9103" }
  ports:
    - { name: fleet-metrics, containerPort: 9103 }
  {{- include "sovd.localProbes" `httpGet: { path: /metrics, port: fleet-metrics }` | nindent 2 }}
  resources:
    requests: { cpu: 20m, memory: 64Mi }
    limits: { cpu: 500m, memory: 256Mi }
  securityContext:
    {{- include "sovd.securityContext" $ | nindent 4 }}
  volumeMounts:
    - { name: tmp, mountPath: /tmp }
{{- end }}
{{- end }}
{{- end }}
