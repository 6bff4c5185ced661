// repository reads Git repositories with the credentials that Argo CD finds for them in its namespace.
//
// Its arguments are a kubeconfig and that namespace. Each line of standard input is a repository's URL. For each it writes a line
// to standard output: the repositories that Argo CD knows, the commit that HEAD is, and what went wrong where there is none.
// It runs until standard input ends, and keeps what Argo CD's server keeps meanwhile.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/argoproj/argo-cd/v3/util/db"
	"github.com/argoproj/argo-cd/v3/util/git"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

type result struct {
	Known []string `json:"known"`
	Head  string   `json:"head"`
	Error string   `json:"error"`
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(kubeconfig, namespace string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	argoDB := db.NewDB(namespace, settings.NewSettingsManager(ctx, client, namespace), client)
	out := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		read, err := readWith(ctx, argoDB, lines.Text())
		if err != nil {
			read.Error = err.Error()
		}
		if err := out.Encode(read); err != nil {
			return err
		}
	}
	return nil
}

// readWith does what Argo CD's server does to show whether it can connect: it finds the repository's Secret and lists references.
func readWith(ctx context.Context, argoDB db.ArgoDB, url string) (result, error) {
	found := result{Known: []string{}}
	listed, err := argoDB.ListRepositories(ctx)
	if err != nil {
		return found, err
	}
	for _, each := range listed {
		found.Known = append(found.Known, each.Repo)
	}
	repo, err := argoDB.GetRepository(ctx, url, "")
	if err != nil {
		return found, err
	}
	creds := repo.GetGitCreds(git.NoopCredsStore{})
	client, err := git.NewClient(repo.Repo, creds, repo.IsInsecure(), repo.IsLFSEnabled(), repo.Proxy, repo.NoProxy)
	if err != nil {
		return found, err
	}
	found.Head, err = client.LsRemote("HEAD")
	return found, err
}
