// Package price knows what articles cost.
package price

import (
	"fmt"
	"slices"
	"strings"
)

// An Article has a price, which may depend on a discount.
type Article interface {
	Name() string
	Cents() int
}

type plain struct {
	name  string
	cents int
}

func (article plain) Name() string { return article.name }
func (article plain) Cents() int   { return article.cents }

type discounted struct {
	plain
	percent int
}

func (article discounted) Cents() int { return article.cents * (100 - article.percent) / 100 }

// Articles returns so many articles; every eighth is discounted.
func Articles(count int) []Article {
	var articles []Article
	for number := range count {
		article := plain{fmt.Sprintf("article-%05d", number), 100 + number*7919%9973}
		if number%8 == 0 {
			articles = append(articles, discounted{article, 20})
		} else {
			articles = append(articles, article)
		}
	}
	return articles
}

// Cheapest returns the names of the cheapest articles, the cheapest first.
func Cheapest(articles []Article, count int) []string {
	sorted := slices.Clone(articles)
	slices.SortFunc(sorted, func(one, other Article) int {
		if difference := one.Cents() - other.Cents(); difference != 0 {
			return difference
		}
		return strings.Compare(one.Name(), other.Name())
	})
	var names []string
	for _, article := range sorted[:count] {
		names = append(names, article.Name())
	}
	return names
}

// Total returns what all articles cost together, in cents.
func Total(articles []Article) int {
	total := 0
	for range 200 {
		total = 0
		for _, article := range articles {
			total += article.Cents()
		}
	}
	return total
}
