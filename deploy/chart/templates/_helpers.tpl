{{/* What all names begin with: as in deploy/base, whatever the release is called. */}}
{{- define "datasource.fullname" -}}
{{- default "datasource" .Values.fullnameOverride -}}
{{- end -}}

{{- define "datasource.operator" -}}
{{- include "datasource.fullname" . -}}-operator
{{- end -}}

{{- define "datasource.callbackServer" -}}
{{- include "datasource.fullname" . -}}-callback-server
{{- end -}}

{{/* With create=false and no name it is `default`, which every pod of the namespace may have: refused. */}}
{{- define "datasource.operator.serviceAccount" -}}
{{- include "datasource.serviceAccount" (dict "process" "operator" "given" .Values.operator.serviceAccount "usual" (include "datasource.operator" .)) -}}
{{- end -}}

{{- define "datasource.callbackServer.serviceAccount" -}}
{{- include "datasource.serviceAccount" (dict "process" "callbackServer" "given" .Values.callbackServer.serviceAccount "usual" (include "datasource.callbackServer" .)) -}}
{{- end -}}

{{- define "datasource.serviceAccount" -}}
{{- if not (or .given.create .given.name) -}}
{{- fail (printf "%s.serviceAccount.name is required with %s.serviceAccount.create=false: name the ServiceAccount that exists." .process .process) -}}
{{- end -}}
{{- default .usual .given.name -}}
{{- end -}}

{{- define "datasource.image" -}}
{{- with .Values.image.registry }}{{ . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end -}}
{{- end -}}

{{/* Selectors never change, so nothing of the release is in them; they are those of deploy/base. Takes the component's name. */}}
{{- define "datasource.selector" -}}
app.kubernetes.io/name: datasource-operator
app.kubernetes.io/component: {{ . }}
{{- end -}}

{{- define "datasource.labels" -}}
app.kubernetes.io/part-of: datasource-operator
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of an object or a pod, each key once: the more special wins. Takes root, and may take component and labels. */}}
{{- define "datasource.allLabels" -}}
{{- $ours := fromYaml (include "datasource.labels" .root) -}}
{{- with .component -}}
{{- $ours = merge $ours (fromYaml (include "datasource.selector" .)) -}}
{{- end -}}
{{- merge (dict) (default (dict) .labels) $ours | toYaml -}}
{{- end -}}

{{/* The metadata of an object. Takes root and name, and may take component, labels, annotations. */}}
{{- define "datasource.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "datasource.allLabels" . | nindent 2 }}
{{- with merge (dict) (default (dict) .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
An object from files/, which are copies of deploy/base: the rules stand there and nowhere else. Takes root and object (which it
changes), and prints it with our labels.
*/}}
{{- define "datasource.object" -}}
{{- $metadata := .object.metadata -}}
{{- $_ := set $metadata "labels" (merge (dict) (default (dict) $metadata.labels) (fromYaml (include "datasource.labels" .root))) -}}
{{- with .root.Values.commonAnnotations -}}
{{- $_ := set $metadata "annotations" (merge (dict) (default (dict) $metadata.annotations) .) -}}
{{- end -}}
---
{{ toYaml .object }}
{{ end -}}

{{/*
A document of a file in files/ with our names, as JSON: a name that YAML reads as a number stays text there. Takes root,
document, and what the two processes are called in it. In two steps: a namespace may be called like a process.
*/}}
{{- define "datasource.renamed" -}}
{{- .document
  | replace "datasource-callback-server" "CALLBACK.SERVER.OF.RELEASE"
  | replace "datasource-operator" "OPERATOR.OF.RELEASE"
  | replace "datasource-editor" "FULLNAME.OF.RELEASE-editor"
  | replace "datasource-viewer" "FULLNAME.OF.RELEASE-viewer"
  | replace "datasource-authorizer" "FULLNAME.OF.RELEASE-authorizer"
  | replace "datasource-system" "NAMESPACE.OF.RELEASE"
  | fromYaml | toJson
  | replace "CALLBACK.SERVER.OF.RELEASE" .callbackServer
  | replace "OPERATOR.OF.RELEASE" .operator
  | replace "FULLNAME.OF.RELEASE" (include "datasource.fullname" .root)
  | replace "NAMESPACE.OF.RELEASE" .root.Release.Namespace -}}
{{- end -}}

{{/* Roles and RoleBindings of a file for one namespace, or ClusterRoles and their bindings for all (namespace ""). */}}
{{- define "datasource.rights" -}}
{{- $root := .root -}}
{{- $namespace := .namespace -}}
{{- $operator := include "datasource.operator" $root -}}
{{- $callbackServer := include "datasource.callbackServer" $root -}}
{{- range $document := splitList "\n---\n" ($root.Files.Get .file) -}}
{{- $object := include "datasource.renamed" (dict "root" $root "document" $document "operator" $operator "callbackServer" $callbackServer) | fromJson -}}
{{- /* As the component sign-in of kustomize does: what pages need, and nothing else. */ -}}
{{- if and $root.Values.signIn.issuer (eq $object.kind "Role") (eq $object.metadata.name $callbackServer) -}}
{{- $list := dict "apiGroups" (list "datasource.dev") "resources" (list "datasources") "verbs" (list "list") -}}
{{- $ask := dict "apiGroups" (list "authorization.k8s.io") "resources" (list "localsubjectaccessreviews") "verbs" (list "create") -}}
{{- $_ := set $object "rules" (concat $object.rules (list $list $ask)) -}}
{{- end -}}
{{- if $namespace -}}
{{- $_ := set $object.metadata "namespace" $namespace -}}
{{- else -}}
{{- $_ := set $object "kind" (printf "Cluster%s" $object.kind) -}}
{{- with $object.roleRef -}}{{- $_ := set . "kind" (printf "Cluster%s" .kind) -}}{{- end -}}
{{- end -}}
{{- range $object.subjects -}}
{{- $account := ternary "datasource.operator.serviceAccount" "datasource.callbackServer.serviceAccount" (eq .name $operator) -}}
{{- $_ := set . "name" (include $account $root) -}}
{{- end -}}
{{ include "datasource.object" (dict "root" $root "object" $object) }}
{{- end -}}
{{- end -}}

{{- define "datasource.podMetadata" -}}
annotations:
  # A changed setting rolls the pods.
  checksum/config: {{ include (print .root.Template.BasePath "/config.yaml") .root | sha256sum | quote }}
  {{- with merge (dict) .process.podAnnotations .root.Values.commonAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
labels:
  {{- include "datasource.allLabels" (dict "root" .root "component" .component "labels" .process.podLabels) | nindent 2 }}
{{- end -}}

{{/* What the two pods have in common. Takes root, component, process (its values) and serviceAccount. */}}
{{- define "datasource.pod" -}}
serviceAccountName: {{ .serviceAccount | quote }}
automountServiceAccountToken: true
# A reply of a token endpoint that is not stored yet is drained at SIGTERM, a code that is exchanged is stored.
terminationGracePeriodSeconds: 60
# Variables of Services would share our DATASOURCE_ prefix.
enableServiceLinks: false
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .process.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .process.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .process.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .process.affinity .process.topologySpreadConstraints }}
{{- with .process.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .process.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- else }}
affinity:
  podAntiAffinity:
    # Apart where that can be had. Not topologySpreadConstraints: a node that lacks one of their labels is left out of account, and many
    # clusters have no zones.
    preferredDuringSchedulingIgnoredDuringExecution:
      {{- range $key, $weight := dict "kubernetes.io/hostname" 100 "topology.kubernetes.io/zone" 50 }}
      - weight: {{ $weight }}
        podAffinityTerm:
          topologyKey: {{ $key }}
          labelSelector:
            matchLabels:
              {{- include "datasource.selector" $.component | nindent 14 }}
          # Counts the pods of one version only: during a rollout the old ones are about to go.
          matchLabelKeys: [pod-template-hash]
      {{- end }}
{{- end }}
{{- $notifies := and (eq .component "operator") .root.Values.settings.notifications.url }}
{{- $signsIn := and (eq .component "callback-server") .root.Values.signIn.issuer }}
{{- if or .root.Values.journal.enabled $notifies $signsIn .root.Values.extraVolumes }}
volumes:
  {{- if .root.Values.journal.enabled }}
  # Replies of providers until they are stored. It outlives the container, and is kept in memory: tokens must be on no disk.
  - name: journal
    emptyDir:
      medium: Memory
      sizeLimit: 32Mi
  {{- end }}
  {{- if $notifies }}
  - name: notify-key
    secret:
      secretName: {{ required "settings.notifications.secretName is required where notifications.url is set: the Secret with the key" .root.Values.settings.notifications.secretName | quote }}
      items:
        - key: {{ .root.Values.settings.notifications.secretKey | quote }}
          path: key
  {{- end }}
  {{- if $signsIn }}
  - name: sign-in
    secret:
      secretName: {{ required "signIn.secretName is required where signIn.issuer is set: the Secret with the client secret" .root.Values.signIn.secretName | quote }}
  {{- end }}
  {{- with .root.Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* The end of a container. Takes root, component and process. */}}
{{- define "datasource.container" -}}
# Why it ended stands in `kubectl describe pod`, not in its log alone.
terminationMessagePolicy: FallbackToLogsOnError
resources:
  {{- toYaml .process.resources | nindent 2 }}
securityContext:
  {{- toYaml .root.Values.securityContext | nindent 2 }}
{{- $notifies := and (eq .component "operator") .root.Values.settings.notifications.url }}
{{- $signsIn := and (eq .component "callback-server") .root.Values.signIn.issuer }}
{{- if or .root.Values.journal.enabled $notifies $signsIn .root.Values.extraVolumeMounts }}
volumeMounts:
  {{- if .root.Values.journal.enabled }}
  - name: journal
    mountPath: /var/lib/datasource
  {{- end }}
  {{- if $notifies }}
  - name: notify-key
    mountPath: /var/run/datasource-notify
    readOnly: true
  {{- end }}
  {{- if $signsIn }}
  - name: sign-in
    mountPath: /var/run/datasource-sign-in
    readOnly: true
  {{- end }}
  {{- with .root.Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Variables of both processes and of one: each name once, and the more special or later wins. Takes root and process. */}}
{{- define "datasource.extraEnv" -}}
{{- $all := concat .root.Values.extraEnv .process.extraEnv -}}
{{- $last := dict -}}
{{- range $place, $each := $all -}}
{{- $_ := set $last $each.name $place -}}
{{- end -}}
{{- $kept := list -}}
{{- range $place, $each := $all -}}
{{- if eq $place (get $last $each.name) -}}
{{- $kept = append $kept $each -}}
{{- end -}}
{{- end -}}
{{- with $kept -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}
