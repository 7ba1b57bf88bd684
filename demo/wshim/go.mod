module example.com/wshim

go 1.23
