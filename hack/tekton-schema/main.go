// Prints how Tekton's own types are written as JSON, one struct a line, for src/tekton/schema.txt:
//
//	go run . > ../../src/tekton/schema.txt
//
// A statement holds parts of a run as Tekton re-encodes them (Chains specification §4.3): order of the
// fields, which are left out when empty, which are written even so. That is read here from the types
// themselves, by reflection, so that nobody has to keep a copy of them.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/config"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// Types that write themselves; every other type with a MarshalJSON is refused below.
var scalars = map[string]string{
	"v1.Time":              "time",
	"v1.MicroTime":         "time",
	"apis.VolatileTime":    "time",
	"v1.Duration":          "duration",
	"resource.Quantity":    "quantity",
	"intstr.IntOrString":   "intstr",
	"v1.ParamValue":        "param",
	"runtime.RawExtension": "raw",
	"v1.FieldsV1":          "raw",
	"apis.URL":             "string",
}

var (
	marshaler = reflect.TypeFor[json.Marshaler]()
	seen      = map[string]reflect.Type{}
)

func main() {
	for _, root := range []any{v1.TaskRun{}, v1.PipelineRunSpec{}, config.FeatureFlags{}} {
		name(reflect.TypeOf(root))
	}
	fmt.Println("# Written by hack/tekton-schema from github.com/tektoncd/pipeline v1.15.0; do not edit.")
	fmt.Println("# Struct field=type …; a ? leaves the field out when it is empty, * is a pointer, [] a list, {} a map.")
	done := map[string]bool{}
	for len(done) < len(seen) {
		var pending []string
		for key := range seen {
			if !done[key] {
				pending = append(pending, key)
			}
		}
		slices.Sort(pending)
		for _, key := range pending {
			line(key, seen[key])
			done[key] = true
		}
	}
}

func line(key string, structure reflect.Type) {
	words := []string{key}
	taken := map[string]bool{}
	var collect func(reflect.Type)
	collect = func(t reflect.Type) {
		for i := range t.NumField() {
			field := t.Field(i)
			tag, options, _ := strings.Cut(field.Tag.Get("json"), ",")
			if tag == "-" || (!field.IsExported() && !field.Anonymous) {
				continue
			}
			if field.Anonymous && tag == "" {
				collect(field.Type)
				continue
			}
			if tag == "" {
				tag = field.Name
			}
			if taken[tag] {
				fail("two fields %s in %s", tag, key)
			}
			taken[tag] = true
			mark := ""
			if strings.Contains(options, "omitzero") || (strings.Contains(options, "omitempty") && canBeEmpty(field.Type)) {
				mark = "?"
			}
			if strings.Contains(options, "string") {
				fail("quoted field %s in %s", tag, key)
			}
			words = append(words, tag+mark+"="+name(field.Type))
		}
	}
	collect(structure)
	fmt.Println(strings.Join(words, " "))
}

// encoding/json never takes a struct for empty.
func canBeEmpty(t reflect.Type) bool {
	return t.Kind() != reflect.Struct
}

func name(t reflect.Type) string {
	if scalar, ok := scalars[t.String()]; ok {
		return scalar
	}
	if t.Kind() != reflect.Pointer && (t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler)) {
		fail("%s writes itself", t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return "*" + name(t.Elem())
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + name(t.Elem())
	case reflect.Map:
		return "{}" + name(t.Elem())
	case reflect.Struct:
		key := t.Name()
		if other, ok := seen[key]; ok && other != t {
			fail("two types %s", key)
		}
		seen[key] = t
		return key
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return "number"
	case reflect.Interface:
		return "raw"
	}
	fail("no word for %s", t)
	return ""
}

func fail(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}
