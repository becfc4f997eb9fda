// SPDX-License-Identifier: GPL-2.0-or-later

package weft

// The types of this package against docs/openapi.yaml, which WEFT_OPENAPI names, translated to JSON: each has the members that the
// document has, of its types, and no others. tests/lint/go runs this.

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"
)

type document map[string]any

// at follows members, and references.
func (d document) at(t *testing.T, node map[string]any, path ...string) map[string]any {
	t.Helper()
	for _, name := range path {
		next, found := d.resolved(node)[name].(map[string]any)
		if !found {
			t.Fatalf("the document has no %s", strings.Join(path, "/"))
		}
		node = next
	}
	return d.resolved(node)
}

func (d document) resolved(node map[string]any) map[string]any {
	for {
		if all, found := node["allOf"].([]any); found && len(all) == 1 {
			node = all[0].(map[string]any)
			continue
		}
		reference, found := node["$ref"].(string)
		if !found {
			return node
		}
		node = d
		for _, name := range strings.Split(strings.TrimPrefix(reference, "#/"), "/") {
			node = node[name].(map[string]any)
		}
	}
}

func readDocument(t *testing.T) document {
	path := os.Getenv("WEFT_OPENAPI")
	if path == "" {
		t.Skip("WEFT_OPENAPI is not set")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d := document{}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// schemas pairs the document's objects with types. A path leads to an object that has no name.
var schemas = []struct {
	path  string
	value any
}{
	{"Registration", Registration{}}, {"TapOwner", TAPOwner{}}, {"Egress", Egress{}}, {"Bandwidth", Bandwidth{}}, {"Rate", Rate{}},
	{"Limits", Limits{}}, {"Door", Door{}}, {"SandboxDoor", SandboxDoor{}}, {"Wake", Wake{}}, {"SandboxWake", SandboxWake{}}, {"DoorStatus", DoorStatus{}}, {"Sandbox", Sandbox{}}, {"Guest", Guest{}}, {"Endpoint", Endpoint{}}, {"Counters", Counters{}},
	{"Diagnosis", Diagnosis{}}, {"Hop", Hop{}}, {"Connection", Connection{}}, {"Event", Event{}}, {"Event/properties/by", RouteHolder{}},
	{"Status", Status{}}, {"Status/properties/pool", PoolStatus{}}, {"NotOpen", NotOpen{}}, {"Uses", Uses{}}, {"Layout", Layout{}},
	{"Handover", Handover{}}, {"Catalog", Catalog{}}, {"Findings", Findings{}}, {"Findings/properties/findings/items", Finding{}}, {"Rates", Rates{}},
	{"Rates/properties/sandboxes/items", SandboxRates{}}, {"Problem", Problem{}},
}

func TestTypesAreThoseOfTheDocument(t *testing.T) {
	d := readDocument(t)
	for _, one := range schemas {
		schema := d.at(t, d, append([]string{"components", "schemas"}, strings.Split(one.path, "/")...)...)
		compareMembers(t, d, one.path, schema, reflect.TypeOf(one.value))
	}
	for _, name := range []string{"Port", "EgressRule"} {
		types := map[string]reflect.Type{"Port": reflect.TypeOf(portObject{}), "EgressRule": reflect.TypeOf(ruleObject{})}
		for _, choice := range d.at(t, d, "components", "schemas", name)["oneOf"].([]any) {
			if schema := d.resolved(choice.(map[string]any)); schema["type"] == "object" {
				compareMembers(t, d, name, schema, types[name])
			}
		}
	}
	verdict := d.at(t, d, "paths", "/v1/sandboxes/{id}/reach", "get", "responses", "200", "content", "application/json", "schema")
	compareMembers(t, d, "reach", verdict, reflect.TypeOf(Verdict{}))
}

func TestAPatchHasTheMembersOfTheDocument(t *testing.T) {
	d := readDocument(t)
	text, err := json.Marshal(Patch{
		Name: Ptr(""), Publish: []Port{{}}, Unpublish: []string{""}, Default: DefaultTake, Paused: Ptr(true), Flows: FlowsKeep,
		Egress: &Egress{}, Bandwidth: &Bandwidth{}, Limits: &Limits{}, Door: &Door{}, Wake: &Wake{}, IdleReportMS: Ptr(int64(0)), Labels: map[string]string{},
	})
	members := map[string]any{}
	if err != nil || json.Unmarshal(text, &members) != nil {
		t.Fatal(err)
	}
	compareNames(t, "Patch", d.at(t, d, "components", "schemas", "Patch", "properties"), members)
}

func compareNames[A, B any](t *testing.T, place string, told map[string]A, ours map[string]B) {
	t.Helper()
	for name := range told {
		if _, found := ours[name]; !found {
			t.Errorf("%s: %s is in the document, and not here", place, name)
		}
	}
	for name := range ours {
		if _, found := told[name]; !found {
			t.Errorf("%s: %s is here, and not in the document", place, name)
		}
	}
}

func compareMembers(t *testing.T, d document, place string, schema map[string]any, kind reflect.Type) {
	t.Helper()
	told, ours := d.at(t, schema, "properties"), map[string]reflect.Type{}
	for i := 0; i < kind.NumField(); i++ {
		if name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ","); name != "-" {
			ours[name] = kind.Field(i).Type
		}
	}
	compareNames(t, place, told, ours)
	for name, member := range told {
		if is, found := ours[name]; found {
			compareType(t, place+"/"+name, d.resolved(member.(map[string]any)), is)
		}
	}
}

// compareType looks whether a value of the schema's type can be one of a type. What may be of several is read by a method.
func compareType(t *testing.T, place string, schema map[string]any, kind reflect.Type) {
	t.Helper()
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	wanted := map[string][]reflect.Kind{
		"string": {reflect.String}, "boolean": {reflect.Bool}, "array": {reflect.Slice}, "object": {reflect.Struct, reflect.Map},
		"integer": {reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64},
	}
	told, _ := schema["type"].(string)
	if told == "string" && schema["format"] == "date-time" {
		if kind != reflect.TypeOf(time.Time{}) {
			t.Errorf("%s is a time in the document, and %v here", place, kind)
		}
		return
	}
	for _, one := range wanted[told] {
		if kind.Kind() == one {
			return
		}
	}
	if told != "" {
		t.Errorf("%s is of type %s in the document, and %v here", place, told, kind)
	}
}

// constants returns the values of the constants of a type.
func constants(t *testing.T, kind string) []string {
	sources := func(info fs.FileInfo) bool { return !strings.HasSuffix(info.Name(), "_test.go") }
	packages, err := parser.ParseDir(token.NewFileSet(), ".", sources, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(packages["weft"], func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); ok && name.Name == kind {
			for _, value := range spec.Values {
				text, err := strconv.Unquote(value.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, text)
			}
		}
		return true
	})
	sort.Strings(values)
	return values
}

func TestConstantsAreThoseOfTheDocument(t *testing.T) {
	d := readDocument(t)
	for kind, path := range map[string]string{
		"State": "State", "EventType": "Event/properties/type", "Flows": "Patch/properties/flows",
	} {
		var told []string
		for _, word := range d.at(t, d, append([]string{"components", "schemas"}, strings.Split(path, "/")...)...)["enum"].([]any) {
			told = append(told, word.(string))
		}
		sort.Strings(told)
		if ours := constants(t, kind); !reflect.DeepEqual(told, ours) {
			t.Errorf("%s: %v in the document, %v here", kind, told, ours)
		}
	}
	if version := d.at(t, d, "info")["version"]; version != APIVersion {
		t.Errorf("the document is that of version %v", version)
	}
}

// Each call of the document, and the method that makes it, with its parameters.
var operations = map[string]struct {
	method     string
	parameters string
}{
	"listSandboxes": {"List", "label state wake"}, "registerSandbox": {"Register", ""}, "getSandbox": {"Get", "timeout wait"},
	"wakeSandbox": {"Wake", ""}, "patchSandbox": {"Patch", ""}, "unregisterSandbox": {"Unregister", "drain"}, "diagnoseSandbox": {"Diagnose", "last to"},
	"listConnections": {"Connections", ""}, "reach": {"Reach", "dest port proto"}, "streamEvents": {"Events", "boot sandbox since"},
	"examineHost": {"Doctor", "last"}, "getRates": {"Rates", "sandbox since"}, "getStatus": {"Status", ""}, "getHealth": {"Health", ""},
	"getMetrics": {"Metrics", ""},
}

func TestEachCallOfTheDocumentIsAMethod(t *testing.T) {
	d := readDocument(t)
	found := map[string]bool{}
	for _, path := range d.at(t, d, "paths") {
		for method, operation := range path.(map[string]any) {
			if method == "parameters" {
				continue
			}
			id := operation.(map[string]any)["operationId"].(string)
			found[id] = true
			var names []string
			parameters, _ := operation.(map[string]any)["parameters"].([]any)
			for _, parameter := range parameters {
				names = append(names, d.resolved(parameter.(map[string]any))["name"].(string))
			}
			sort.Strings(names)
			if told := strings.Join(names, " "); told != operations[id].parameters {
				t.Errorf("%s has the parameters %q in the document, %q here", id, told, operations[id].parameters)
			}
		}
	}
	compareNames(t, "calls", found, operations)
	for id, operation := range operations {
		if _, exists := reflect.TypeOf(&Client{}).MethodByName(operation.method); !exists {
			t.Errorf("%s: there is no method %s", id, operation.method)
		}
	}
}
