// Catalog answers which of the shop's articles are the cheapest.
package main

import (
	"encoding/json"
	"net/http"

	"example.com/shop/internal/price"
	"example.com/shop/internal/serve"
)

func main() {
	articles := price.Articles(20_000)
	serve.Run(func(answer http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(answer).Encode(price.Cheapest(articles, 10))
	})
}
