{{/*
A component's Deployment. A dictionary: root; component; values (of the component); ports ({name: number}); probes and
env, rendered; service (a Python service: has configuration, metrics and TLS); files (a ConfigMap of files, by its part
of the name, or nothing); secrets ({name: Secret}, mounted at /etc/sovd/name); beside (a container of which there must
not be two, rendered, or nothing).
*/}}
{{- define "sovd.deployment" -}}
{{- $root := .root -}}{{- $values := .values -}}{{- $id := list .root .component -}}
{{- $secrets := .secrets | default dict -}}
{{- if and .service $root.Values.grpcTls.enabled -}}
{{- $secrets = merge (dict "grpc-tls" $root.Values.grpcTls.secretName) $secrets -}}
{{- end -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "sovd.name" $id }}
  labels:
    {{- include "sovd.labels" $id | nindent 4 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  minReadySeconds: 5
  progressDeadlineSeconds: 600
  strategy:
    {{- if .beside }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate: { maxSurge: 1, maxUnavailable: 0 }
    {{- end }}
  selector:
    matchLabels:
      {{- include "sovd.selector" $id | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "sovd.labels" $id | nindent 8 }}
      {{- if .service }}
      annotations:
        {{- include "sovd.checksums" $root | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "sovd.name" $id }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- include "sovd.pullSecrets" $root | nindent 6 }}
      {{- /* After the drain what was opened is closed, five seconds each at most. */}}
      terminationGracePeriodSeconds: {{ add $values.preStopSeconds $values.drainSeconds 15 }}
      securityContext:
        {{- include "sovd.podSecurityContext" 10001 | nindent 8 }}
      topologySpreadConstraints:
        {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          matchLabelKeys: [pod-template-hash]
          labelSelector:
            matchLabels:
              {{- include "sovd.selector" $id | nindent 14 }}
        {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "sovd.image" (list $root $values.image) }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          {{- with $values.command }}
          command:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- if .service }}
          envFrom:
            - configMapRef: { name: {{ include "sovd.name" (list $root "config") }} }
          {{- end }}
          {{- if or .service .env $values.env }}
          env:
            {{- if .service }}
            - { name: DRAIN_SECONDS, value: {{ $values.drainSeconds | quote }} }
            - name: POD_NAME
              valueFrom: { fieldRef: { fieldPath: metadata.name } }
            - { name: OTEL_RESOURCE_ATTRIBUTES, value: "service.instance.id=$(POD_NAME),deployment.environment={{ $root.Values.config.environment }}" }
            {{- end }}
            {{- with .env }}{{ . | nindent 12 }}{{ end }}
            {{- range $name, $value := $values.env }}
            - { name: {{ $name }}, value: {{ $value | quote }} }
            {{- end }}
          {{- end }}
          ports:
            {{- range $name, $port := .ports }}
            - { name: {{ $name }}, containerPort: {{ $port }} }
            {{- end }}
          {{- .probes | nindent 10 }}
          lifecycle:
            preStop: { sleep: { seconds: {{ $values.preStopSeconds }} } }
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "sovd.securityContext" $root | nindent 12 }}
          volumeMounts:
            - { name: tmp, mountPath: /tmp }
            {{- range $name, $_ := $secrets }}
            - { name: {{ $name }}, mountPath: /etc/sovd/{{ $name }}, readOnly: true }
            {{- end }}
            {{- if .files }}
            - { name: files, mountPath: /etc/sovd/files, readOnly: true }
            {{- end }}
            {{- if dig "odx" "volume" nil $values }}
            - { name: odx, mountPath: /odx, readOnly: true }
            {{- end }}
        {{- with .beside }}{{ . | nindent 8 }}{{ end }}
      volumes:
        - name: tmp
          emptyDir: { sizeLimit: 64Mi }
        {{- range $name, $secret := $secrets }}
        - name: {{ $name }}
          secret: { secretName: {{ $secret }} }
        {{- end }}
        {{- with .files }}
        - name: files
          configMap: { name: {{ include "sovd.name" (list $root .) }} }
        {{- end }}
        {{- with dig "odx" "volume" nil $values }}
        - name: odx
          {{- toYaml . | nindent 10 }}
        {{- end }}
{{- end -}}

{{/* HTTP probes: [port, path when alive, path when ready] */}}
{{- define "sovd.httpProbes" -}}
startupProbe:
  httpGet: { path: {{ index . 1 }}, port: {{ first . }} }
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: { path: {{ index . 1 }}, port: {{ first . }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: { path: {{ index . 2 }}, port: {{ first . }} }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
{{- end -}}

{{/* gRPC probes: [whether the port speaks TLS, port]. The kubelet speaks no TLS: then the image's own check does. */}}
{{- define "sovd.grpcProbes" -}}
{{- $port := last . -}}
{{- $tls := first . -}}
startupProbe:
  {{- include "sovd.grpcAlive" (list $tls $port) | nindent 2 }}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  {{- include "sovd.grpcAlive" (list $tls $port) | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  {{- if $tls }}
  exec: { command: [sovd, health] }
  {{- else }}
  grpc: { port: {{ $port }} }
  {{- end }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}

{{/* Not "ready": what it needs may be away, and starting it again would not bring that back. */}}
{{- define "sovd.grpcAlive" -}}
{{- if first . -}}
tcpSocket: { port: {{ last . }} }
{{- else -}}
grpc: { port: {{ last . }}, service: live }
{{- end -}}
{{- end -}}

{{/* One check for all three, for what is thrown away. */}}
{{- define "sovd.localProbes" -}}
startupProbe:
  {{ . }}
  periodSeconds: 2
  failureThreshold: 90
readinessProbe:
  {{ . }}
  periodSeconds: 5
livenessProbe:
  {{ . }}
  periodSeconds: 10
  failureThreshold: 6
{{- end -}}
