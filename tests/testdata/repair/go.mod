module example.com/repair

go 1.24
