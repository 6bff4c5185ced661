// Calls an API with the mounted token, and survives what happens to apps: a 401, an outage, a token that is not there yet.
// The file is read for each request: kubelet replaces its content while the app runs.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

const longestPause = 5 * time.Minute

// tokenFile puts the token that a file holds now into each request. After a 401 it tries once more, if the file holds another token
// by then. Requests with a body are not repeated: that takes request.GetBody.
type tokenFile struct{ path string }

func (f tokenFile) token() (string, error) {
	content, err := os.ReadFile(f.path)
	token := string(bytes.TrimSpace(content))
	if err == nil && token == "" {
		err = fmt.Errorf("there is no token in %s yet", f.path)
	}
	return token, err
}

func (f tokenFile) send(request *http.Request, token string) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+token)
	return http.DefaultTransport.RoundTrip(request)
}

func (f tokenFile) RoundTrip(request *http.Request) (*http.Response, error) {
	first, err := f.token()
	if err != nil {
		return nil, err
	}
	response, err := f.send(request, first)
	if err != nil || response.StatusCode != http.StatusUnauthorized || request.Body != nil {
		return response, err
	}
	second, err := f.token()
	if err != nil || second == first {
		return response, nil
	}
	response.Body.Close()
	return f.send(request, second)
}

func call(client *http.Client, url string) error {
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, response.Status)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func main() {
	path := cmp.Or(os.Getenv("TOKEN_FILE"), "/credential/access_token")
	url := cmp.Or(os.Getenv("API_URL"), "https://api.example.com/calendar/v3/events")
	interval, err := time.ParseDuration(cmp.Or(os.Getenv("INTERVAL"), "60") + "s")
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: tokenFile{path}, Timeout: 30 * time.Second}
	pause := interval
	for {
		if err := call(client, url); err != nil {
			log.Printf("%v; next try in %v", err, pause)
			time.Sleep(pause)
			pause = min(2*pause, max(longestPause, interval))
			continue
		}
		pause = interval
		time.Sleep(interval)
	}
}
