module hallmark.local/stack/tekton

go 1.26.8

require github.com/tektoncd/pipeline v1.15.0 // indirect
