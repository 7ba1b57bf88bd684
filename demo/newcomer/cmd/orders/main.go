// Orders adds up what an order costs.
package main

import (
	"fmt"
	"net/http"

	"example.com/shop/internal/price"
	"example.com/shop/internal/serve"
)

func main() {
	articles := price.Articles(500)
	serve.Run(func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, price.Total(articles))
	})
}
