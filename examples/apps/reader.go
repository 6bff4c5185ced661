// Calls an API with the mounted token. The file is read anew for each request: its content changes while the app runs.
package main

import (
	"cmp"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

// tokenFile puts the token that a file holds now into each request.
type tokenFile struct{ path string }

func (f tokenFile) RoundTrip(request *http.Request) (*http.Response, error) {
	token, err := os.ReadFile(f.path)
	if err != nil {
		return nil, err
	}
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", "Bearer "+string(token))
	return http.DefaultTransport.RoundTrip(request)
}

func main() {
	path := cmp.Or(os.Getenv("TOKEN_FILE"), "/credential/access_token")
	url := cmp.Or(os.Getenv("API_URL"), "https://api.example.com/calendar/v3/events")
	interval, err := time.ParseDuration(cmp.Or(os.Getenv("INTERVAL"), "60") + "s")
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: tokenFile{path}, Timeout: 30 * time.Second}
	for ; ; time.Sleep(interval) {
		response, err := client.Get(url)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := io.Copy(os.Stdout, response.Body); err != nil {
			log.Fatal(err)
		}
		response.Body.Close()
	}
}
