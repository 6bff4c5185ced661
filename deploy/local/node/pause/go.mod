// What holds the namespaces of a pod: a program that waits. See main.go.
module datasource.dev/deploy/local/node/pause

go 1.26.0
