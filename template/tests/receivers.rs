//! Objects in templates: fields, methods with arguments, and templates that methods render.

use std::sync::Arc;
use template::{CallError, Delimiters, ErrorKind, MissingKey, Options, Receiver, Rendering, TemplateError};
use template::{Templates, Value};

/// What boot content sees as dot, in small.
#[derive(Debug)]
struct Data {
    machine: Value,
    params: Value,
}

#[derive(Debug)]
struct Machine;

impl Receiver for Machine {
    fn type_name(&self) -> &str {
        "Machine"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Name" => Some("m1.example".into()),
            "Profiles" => Some(vec![Value::from("a"), Value::from("b")].into()),
            _ => None,
        }
    }

    fn call(&self, name: &str, args: &[Value], _: &mut Rendering) -> Option<Result<Value, CallError>> {
        match (name, args) {
            ("ShortName", []) => Some(Ok("m1".into())),
            ("MacAddr", [Value::Text(format)]) => Some(Ok(format!("mac-{format}").into())),
            ("MacAddr", _) => Some(Err(CallError::failed("MacAddr wants one format"))),
            _ => None,
        }
    }

    fn plain(&self) -> Option<Value> {
        Some(Value::from(serde_json::json!({"Name": "m1.example"})))
    }
}

impl Receiver for Data {
    fn type_name(&self) -> &str {
        "RenderData"
    }

    fn field(&self, name: &str) -> Option<Value> {
        (name == "Machine").then(|| self.machine.clone())
    }

    fn call(
        &self,
        name: &str,
        args: &[Value],
        rendering: &mut Rendering,
    ) -> Option<Result<Value, CallError>> {
        let Value::Map(params) = &self.params else { return None };
        match (name, args) {
            ("Param", [Value::Text(key)]) => {
                Some(params.get(key).ok_or_else(|| CallError::Failed(format!("the param {key} is not set"))))
            }
            ("ParamExists", [Value::Text(key)]) => Some(Ok(params.contains(key).into())),
            ("CallTemplate", [Value::Text(name), dot]) => {
                Some(rendering.template(name, dot.clone()).map(Value::from))
            }
            ("ParamExpand", [Value::Text(key), dot]) => {
                let text = params.get(key)?;
                Some(rendering.text(key, text.as_text()?, dot.clone()).map(Value::from))
            }
            ("Count", args) => Some(Ok(Value::Int(args.len().try_into().unwrap()))),
            _ => None,
        }
    }
}

fn data() -> Value {
    let params = serde_json::json!({
        "key": "value", "number": 3, "list": ["x", "y"], "greet": "hi {{.Machine.Name}} {{template \"t\" 1}}",
        "self": "{{.ParamExpand \"self\" .}}", "wrong": "a\n{{.Nope}}",
    });
    Value::receiver(Data { machine: Value::receiver(Machine), params: Value::from(&params) })
}

fn render(text: &str) -> Result<String, TemplateError> {
    let mut templates = Templates::default();
    templates.add("t", "<{{.}}>", &Delimiters::default()).unwrap();
    templates.add("loop", "{{.CallTemplate \"loop\" .}}", &Delimiters::default()).unwrap();
    templates.add("fails", "ok\n\n{{.Param \"gone\"}}", &Delimiters::default()).unwrap();
    templates.add("main", text, &Delimiters::default())?;
    templates.render("main", data(), &Options::default())
}

#[test]
fn fields_and_methods_are_reached_by_chains_variables_and_pipes() {
    for (text, expected) in [
        ("{{.Machine.Name}} {{.Machine.ShortName}}", "m1.example m1"),
        ("{{.Machine.MacAddr \"ipxe\"}} {{\"pxe\" | .Machine.MacAddr}}", "mac-ipxe mac-pxe"),
        ("{{.Param \"key\"}} {{.Param \"number\"}} {{index (.Param \"list\") 1}}", "value 3 y"),
        ("{{if .ParamExists \"key\"}}y{{end}}{{if .ParamExists \"gone\"}}n{{end}}", "y"),
        ("{{if eq (.Param \"key\") \"value\"}}y{{end}}", "y"),
        (
            "{{$r := .}}{{range .Param \"list\"}}{{.}}{{$r.Param \"key\"}}{{$.Param \"number\"}} {{end}}",
            "xvalue3 yvalue3 ",
        ),
        ("{{$m := .Machine}}{{$m.Name}} {{$m.MacAddr \"x\"}}", "m1.example mac-x"),
        ("{{(.Machine).Name}} {{with .Machine}}{{.Name}}{{end}}", "m1.example m1.example"),
        ("{{.CallTemplate \"t\" .Machine.Name}} {{$.CallTemplate (print \"t\" \"\") 5}}", "<m1.example> <5>"),
        ("{{.ParamExpand \"greet\" .}}", "hi m1.example <1>"),
        ("{{.Count}} {{.Count 1 nil .Nope2}}", ""),
        ("{{.Count 1 nil \"a\" | printf \"%03d\"}}", "003"),
        (
            "{{.Machine}} {{.Machine | toJson}} {{get .Machine \"Name\"}}",
            "map[Name:m1.example] {\"Name\":\"m1.example\"} m1.example",
        ),
        ("{{range .Machine.Profiles}}{{.}}{{end}} {{join \",\" .Machine.Profiles}}", "ab a,b"),
    ] {
        match render(text) {
            Ok(rendered) => assert_eq!(rendered, expected, "{text}"),
            Err(error) => assert!(expected.is_empty(), "{text}: {error}"),
        }
    }
}

#[test]
fn errors_name_template_line_action_and_what_was_wanted() {
    for (text, expected) in [
        ("a\nb {{.Param \"gone\"}}", "template \"main\", line 2: .Param \"gone\": the param gone is not set"),
        (
            "{{if true}}{{.Machine.Nope}}{{end}}",
            "template \"main\", line 1: .Machine.Nope: can't evaluate field Nope in type Machine",
        ),
        (
            "{{.Machine.Name 1}}",
            "template \"main\", line 1: .Machine.Name 1: Name has arguments but cannot be invoked as function",
        ),
        ("{{.Machine.MacAddr}}", "template \"main\", line 1: .Machine.MacAddr: MacAddr wants one format"),
        (
            "x\n{{.CallTemplate \"fails\" .}}",
            "template \"fails\", line 3: .Param \"gone\": the param gone is not set",
        ),
        (
            "{{.ParamExpand \"wrong\" .}}",
            "template \"wrong\", line 2: .Nope: can't evaluate field Nope in type RenderData",
        ),
        (
            "{{template \"none\" .}}",
            "template \"main\", line 1: {{template \"none\" .}}: template \"none\" not defined",
        ),
        ("{{.CallTemplate \"none\" .}}", "template \"none\": there is no such template"),
        ("{{.}}", "template \"main\", line 1: .: a RenderData cannot be printed as a whole"),
        (
            "\n\n{{ if .x }}\nabc",
            "template \"main\", line 3: {{ if .x }}: unexpected end of the text: {{end}} is missing",
        ),
        ("a{{end}}", "template \"main\", line 1: {{end}}: unexpected {{end}}"),
        (
            "{{now}}",
            "template \"main\", line 1: {{now: function \"now\" is left out: it asks the clock; pass the time in",
        ),
        ("{{if false}}{{nope}}{{end}}", "template \"main\", line 1: {{nope: function \"nope\" not defined"),
        ("{{$x}}", "template \"main\", line 1: {{$x: undefined variable \"$x\""),
        ("{{upper 1}}", "template \"main\", line 1: upper 1: expected string; found 1"),
        (
            "{{eq 1.0 3}}",
            "template \"main\", line 1: eq 1.0 3: incompatible types for comparison: float64 and int",
        ),
    ] {
        assert_eq!(render(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn methods_that_render_cannot_render_for_ever() {
    for text in ["{{.CallTemplate \"loop\" .}}", "{{.ParamExpand \"self\" .}}"] {
        let error = render(text).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    }
}

#[test]
fn an_absent_field_of_an_object_is_an_error_whatever_is_said_of_keys() {
    let mut templates = Templates::default();
    templates.add("a", "{{.Machine.Nope}}", &Delimiters::default()).unwrap();
    for missing_key in [MissingKey::Default, MissingKey::Error] {
        let options = Options { missing_key, ..Options::default() };
        assert!(templates.render("a", data(), &options).is_err());
    }
}

#[test]
fn maps_are_one_map_for_everyone_who_holds_them() {
    let dot = Value::from(serde_json::json!({"m": {}}));
    let mut templates = Templates::default();
    templates.add("sets", "{{$_ := set .m \"a\" 1}}", &Delimiters::default()).unwrap();
    templates.add("reads", "{{template \"sets\" .}}{{.m.a}}", &Delimiters::default()).unwrap();
    assert_eq!(templates.render("reads", dot.clone(), &Options::default()).unwrap(), "1");
    assert_eq!(dot.to_json(), serde_json::json!({"m": {"a": 1}}));
}

#[test]
fn a_set_is_shared_between_threads() {
    let mut templates = Templates::default();
    templates.add("a", "{{.}}", &Delimiters::default()).unwrap();
    let templates = Arc::new(templates);
    let threads: Vec<_> = (0..4_i64)
        .map(|number| {
            let templates = Arc::clone(&templates);
            std::thread::spawn(move || templates.render("a", number.into(), &Options::default()).unwrap())
        })
        .collect();
    let rendered: Vec<String> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(rendered, ["0", "1", "2", "3"]);
}
