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

{{/* What is refused here, the processes refuse, too (datasource/process/external_url.py); the schema knows the characters. */}}
{{- define "datasource.checkedExternalURL" -}}
{{- $url := regexReplaceAll "/+$" (required "externalURL is required: the public URL of the callback server, such as https://connect.example.com" .Values.externalURL) "" -}}
{{- $parts := regexSplit "/" $url 4 -}}
{{- $port := regexFind ":[0-9]*$" (index $parts 2) | trimPrefix ":" -}}
{{- $host := index $parts 2 | lower | trimSuffix (regexFind ":[0-9]*$" (index $parts 2)) -}}
{{- if or (hasPrefix "0" $port) (gt (len $port) 5) (gt (int $port) 65535) (ne (include "datasource.isHost" $host) "true") -}}
{{- fail (printf "externalURL must be the public URL of the callback server, such as https://connect.example.com; it is %s" $url) -}}
{{- end -}}
{{- if regexMatch "/[.]{1,2}(/|$)" (printf "/%s" (join "/" (slice $parts 3))) -}}
{{- fail (printf "externalURL must have no . or .. between slashes: choose another path; it is %s" $url) -}}
{{- end -}}
{{- if not (or (hasPrefix "https:" (lower $url)) (has $host (list "localhost" "127.0.0.1" "[::1]"))) -}}
{{- fail (printf "externalURL must be https:// (http:// is for loopback only); it is %s" $url) -}}
{{- end -}}
{{- $url -}}
{{- end -}}

{{/* "true" for a host in lower case that browsers read as it is written. */}}
{{- define "datasource.isHost" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $ipv4 := printf "(%s[.]){3}%s" $octet $octet -}}
{{- $label := "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?" -}}
{{- if hasPrefix "[" . -}}
{{- /* An IPv4 address at the end stands for two groups. */ -}}
{{- $groups := regexReplaceAll (printf ":%s$" $ipv4) (. | trimPrefix "[" | trimSuffix "]") ":0:0" -}}
{{- $some := "[0-9a-f]{1,4}(:[0-9a-f]{1,4})*" -}}
{{- $gap := regexMatch (printf "^(%s)?::(%s)?$" $some $some) $groups -}}
{{- $count := regexFindAll "[0-9a-f]+" $groups -1 | len -}}
{{- or (and $gap (le $count 7)) (and (regexMatch (printf "^%s$" $some) $groups) (eq $count 8)) -}}
{{- else if regexMatch "(^|[.])([0-9]+|0x[0-9a-f]*)[.]?$" . -}}
{{- regexMatch (printf "^%s$" $ipv4) . -}}
{{- else -}}
{{- and (le (len .) 253) (regexMatch (printf "^(%s[.])*%s[.]?$" $label $label) .) -}}
{{- end -}}
{{- end -}}

{{/* The host of externalURL as an Ingress and an HTTPRoute take it, and the paths below it that browsers need, as a list in JSON. */}}
{{- define "datasource.externalHost" -}}
{{- $host := (urlParse (include "datasource.checkedExternalURL" .)).hostname | lower | trimSuffix "." -}}
{{- if or (contains ":" $host) (contains "_" $host) (regexMatch "[.][0-9]+$" $host) -}}
{{- fail (printf "ingress.enabled and httpRoute.enabled need a DNS name in externalURL, such as https://connect.example.com: %s is none" $host) -}}
{{- end -}}
{{- $host -}}
{{- end -}}

{{- define "datasource.externalPaths" -}}
{{- $prefix := (urlParse (include "datasource.checkedExternalURL" .)).path -}}
{{- if .Values.signIn.issuer -}}
{{- /* The first page is at the root, and pages of other names come below it. */ -}}
{{- list (printf "%s/" $prefix) | toJson -}}
{{- else -}}
{{- list (printf "%s/authorize" $prefix) (printf "%s/callback" $prefix) (printf "%s/done" $prefix) | toJson -}}
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

{{/* What the schema cannot say in words that help. The templates of both processes begin with it. */}}
{{- define "datasource.checkedValues" -}}
{{- $values := .Values -}}
{{- $ours := concat (keys (fromYaml (include "datasource.selector" "any"))) (list "app.kubernetes.io/part-of" "app.kubernetes.io/instance" "app.kubernetes.io/managed-by" "app.kubernetes.io/version" "helm.sh/chart") -}}
{{- range $name, $labels := dict "commonLabels" .Values.commonLabels "operator.podLabels" .Values.operator.podLabels "callbackServer.podLabels" .Values.callbackServer.podLabels -}}
{{- range $ours -}}
{{- if hasKey $labels . -}}
{{- fail (printf "%s must not have %s: the chart sets it itself" $name .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name, $annotations := dict "commonAnnotations" .Values.commonAnnotations "operator.podAnnotations" .Values.operator.podAnnotations "callbackServer.podAnnotations" .Values.callbackServer.podAnnotations -}}
{{- if hasKey $annotations "checksum/config" -}}
{{- fail (printf "%s must not have checksum/config: the chart sets it itself" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name := list "operator" "callbackServer" -}}
{{- $process := get $values $name -}}
{{- $replicas := int $process.replicas -}}
{{- $budget := $process.podDisruptionBudget -}}
{{- $stay := int (toString $budget.minAvailable | trimSuffix "%") -}}
{{- if hasSuffix "%" (toString $budget.minAvailable) -}}
{{- /* As Kubernetes reads it: rounded up. */ -}}
{{- $stay = div (add (mul $stay $replicas) 99) 100 -}}
{{- end -}}
{{- if and $budget.enabled (gt $replicas 1) (ge (int $stay) $replicas) -}}
{{- fail (printf "%s.podDisruptionBudget.minAvailable is %v of %d replicas, which would keep every node with such a pod from being drained: use a smaller one" $name $budget.minAvailable $replicas) -}}
{{- end -}}
{{- end -}}
{{- with .Values.signIn -}}
{{- if .issuer -}}
{{- range $name := list "usernamePrefix" "groupsPrefix" -}}
{{- if hasPrefix "system:" (get $values.signIn $name) -}}
{{- fail (printf "signIn.%s must not begin with system: such names are the cluster's own, and no person has one" $name) -}}
{{- end -}}
{{- end -}}
{{- if and .scopes (not (has "openid" .scopes)) -}}
{{- fail "signIn.scopes must have openid among the scopes: without it the issuer does not say who signs in" -}}
{{- end -}}
{{- if has "offline_access" .scopes -}}
{{- fail "signIn.scopes must not have offline_access: no token of a sign-in is kept" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
