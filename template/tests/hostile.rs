//! Templates that mean harm: each ends in a clean error, soon, on a stack of 2 MiB.

use std::time::{Duration, Instant};
use template::{
    Delimiters, ErrorKind, Limits, MAX_NESTING, MAX_TEXT, Options, TemplateError, Templates, Value,
};

/// The stack of a thread that nobody asked for more.
const STACK: usize = 2 * 1_024 * 1_024;
/// What any of them may take in an unoptimised build, on a busy machine.
const SOON: Duration = Duration::from_secs(20);

fn render(text: &str, dot: Value, options: &Options) -> Result<String, TemplateError> {
    let mut templates = Templates::default();
    templates.add("main", text, &Delimiters::default())?;
    templates.render("main", dot, options)
}

/// Renders on a small stack.
fn render_small(text: String, dot: Value, options: Options) -> Result<String, TemplateError> {
    let begun = Instant::now();
    let thread = std::thread::Builder::new().stack_size(STACK);
    let rendered = thread.spawn(move || render(&text, dot, &options)).unwrap().join().unwrap();
    assert!(begun.elapsed() < SOON, "took {:?}", begun.elapsed());
    rendered
}

fn is_stopped(text: impl Into<String>) {
    let text = text.into();
    let shown: String = text.chars().take(80).collect();
    let error = render_small(text, Value::Nil, Options::default()).expect_err(&shown);
    assert_eq!(error.kind, ErrorKind::Limit, "{shown}: {error}");
    assert!(error.to_string().len() < 1_000, "{error}");
}

#[test]
fn loops_are_stopped() {
    is_stopped("{{range until 1000000000}}x{{end}}");
    is_stopped("{{range untilStep 0 9223372036854775807 1}}{{end}}");
    is_stopped("{{seq 1 1000000000}}");
    is_stopped("{{$l := until 100000}}{{range $l}}{{range $l}}{{end}}{{end}}");
    is_stopped(
        "{{$l := until 1000}}{{range $l}}{{range $l}}{{range $l}}{{range $l}}{{end}}{{end}}{{end}}{{end}}",
    );
}

#[test]
fn recursion_is_stopped() {
    is_stopped("{{define \"a\"}}{{template \"a\" .}}{{end}}{{template \"a\" .}}");
    is_stopped(
        "{{define \"a\"}}{{template \"b\" .}}{{end}}{{define \"b\"}}{{template \"a\" .}}{{end}}{{template \"a\"}}",
    );
    is_stopped("{{template \"main\"}}");
    // As deep as may be in each template, too.
    let depth = MAX_NESTING - 4;
    let blocks =
        format!("{}{{{{template \"main\"}}}}{}", "{{if true}}".repeat(depth), "{{end}}".repeat(depth));
    is_stopped(blocks);
    let ranges =
        format!("{}{{{{template \"main\"}}}}{}", "{{range list 1}}".repeat(depth), "{{end}}".repeat(depth));
    is_stopped(ranges);
    let mut parens = "{{define \"a\"}}{{".to_owned();
    parens.push_str(&"(print ".repeat(depth));
    parens.push_str(&")".repeat(depth));
    parens.push_str("}}{{template \"a\"}}{{end}}{{template \"a\"}}");
    is_stopped(parens);
}

#[test]
fn templates_that_double_are_stopped() {
    let mut text = String::new();
    for level in 0..60 {
        text.push_str(&format!(
            "{{{{define \"t{level}\"}}}}{{{{template \"t{0}\"}}}}{{{{template \"t{0}\"}}}}{{{{end}}}}",
            level + 1
        ));
    }
    text.push_str("{{define \"t60\"}}x{{end}}{{template \"t0\"}}");
    is_stopped(text);
}

#[test]
fn texts_that_grow_are_stopped() {
    is_stopped("{{repeat 1000000000 \"x\"}}");
    is_stopped("{{repeat 9223372036854775807 \"xx\"}}");
    is_stopped("{{$x := \"x\"}}{{range until 64}}{{$x = print $x $x}}{{end}}{{len $x}}");
    is_stopped("{{$x := repeat 100000 \"x\"}}{{range until 1000}}{{$x}}{{end}}");
    is_stopped("{{$x := repeat 100000 \"a\"}}{{replace \"a\" $x $x}}");
    is_stopped("{{indent 1000000000 \"a\"}}");
    is_stopped("{{nindent 100000 (repeat 1000 \"a\\n\")}}");
    is_stopped("{{wrapWith 1 (repeat 100000 \"a\") (repeat 1000 \"b\")}}");
    is_stopped("{{join (repeat 100000 \"a\") (until 1000)}}");
    is_stopped("{{regexReplaceAll \"a\" (repeat 10000 \"a\") (repeat 10000 \"$0$0\")}}");
    is_stopped("{{printf \"%999999d%999999d%999999d%999999d%999999d\" 1 1 1 1 1}}");
    is_stopped("{{range until 100}}{{printf \"%.999999f\" 1.0}}{{end}}");
}

#[test]
fn a_width_that_go_refuses_is_refused_as_in_go() {
    let written = render_small("{{printf \"%1000000000d\" 1}}".to_owned(), Value::Nil, Options::default());
    assert_eq!(written.unwrap(), "%!(NOVERB)%!(EXTRA int=1)");
}

#[test]
fn values_that_grow_are_stopped() {
    // Maps in maps twice over: small in memory, endless when written.
    let double = "{{$m := dict \"a\" 1}}{{range until 100}}{{$m = dict \"a\" $m \"b\" $m}}{{end}}";
    for end in
        ["{{$m}}", "{{toJson $m}}", "{{deepEqual $m (deepCopy $m)}}", "{{set $m \"c\" $m}}", "{{quote $m}}"]
    {
        let error = render_small(format!("{double}{end}"), Value::Nil, Options::default()).unwrap_err();
        assert!(error.kind == ErrorKind::Limit || error.problem.contains("itself"), "{end}: {error}");
    }
    // Deeper than any stack.
    let deep = "{{$m := dict}}{{range until 30000}}{{$m = dict \"a\" $m}}{{end}}";
    for end in
        ["{{$m}}", "{{toJson $m}}", "{{toPrettyJson $m}}", "{{deepCopy $m}}", "{{set (dict) \"c\" $m}}"]
    {
        is_stopped(format!("{deep}{end}"));
    }
    let lists = "{{$l := list}}{{range until 30000}}{{$l = list $l}}{{end}}";
    for end in ["{{$l}}", "{{toJson $l}}", "{{has $l (list $l)}}", "{{uniq (list $l (deepCopy $l))}}"] {
        is_stopped(format!("{lists}{end}"));
    }
    is_stopped("{{$l := list 1}}{{range until 64}}{{$l = concat $l $l}}{{end}}");
    is_stopped("{{uniq (until 100000)}}");
}

#[test]
fn a_map_does_not_come_to_hold_itself() {
    for text in [
        "{{$m := dict}}{{set $m \"a\" $m}}",
        "{{$m := dict}}{{set $m \"a\" (list 1 (dict \"b\" $m))}}",
        "{{$m := dict}}{{merge $m (dict \"a\" $m)}}",
        "{{$m := dict \"x\" (dict)}}{{mergeOverwrite $m.x (dict \"a\" $m)}}",
        "{{$a := dict}}{{$b := dict \"a\" $a}}{{set $a \"b\" $b}}",
    ] {
        let error = render_small(text.to_owned(), Value::Nil, Options::default()).unwrap_err();
        assert!(error.problem.contains("cannot hold itself"), "{text}: {error}");
    }
}

#[test]
fn regular_expressions_are_bounded() {
    is_stopped("{{regexMatch \"((a{0,100}){0,100}){0,100}\" \"aaa\"}}");
    is_stopped("{{regexFind (repeat 100000 \"(\") \"a\"}}");
    is_stopped("{{regexFindAll \".*[^A-Z]|[A-Z]\" (repeat 100000 \"A\") -1}}");
    is_stopped("{{range $i, $e := until 100000}}{{regexMatch (printf \"(a|b)*%d\" $i) \"x\"}}{{end}}");
    let nested = format!("{{{{regexMatch `{}a{}` \"a\"}}}}", "(".repeat(1_000), ")".repeat(1_000));
    assert_eq!(render_small(nested, Value::Nil, Options::default()).unwrap(), "false");
}

#[test]
fn nesting_is_refused_when_it_is_read() {
    for count in [MAX_NESTING + 1, 200_000] {
        is_stopped(format!("{{{{{}", "(".repeat(count)));
        is_stopped("{{if true}}".repeat(count.min(80_000)));
        is_stopped("{{range .}}".repeat(count.min(80_000)));
        is_stopped("{{block \"a\" .}}".repeat(count.min(60_000)));
    }
    is_stopped("{{with .}}".repeat(80_000));
    let fields = format!("{{{{.a{}}}}}", ".a".repeat(100_000));
    assert!(render_small(fields, Value::Nil, Options::default()).is_ok());
}

#[test]
fn long_chains_are_no_nesting() {
    let arms: String = (0..2_000).map(|arm| format!("{{{{else if eq .n {arm}}}}}{arm}")).collect();
    let dot = Value::Map([("n", 1_234_i64)].into_iter().collect());
    let text = format!("{{{{if false}}}}x{arms}{{{{end}}}}");
    assert_eq!(render_small(text, dot, Options::default()).unwrap(), "1234");
    let pipes = format!("{{{{1{}}}}}", " | print".repeat(20_000));
    assert_eq!(render_small(pipes, Value::Nil, Options::default()).unwrap(), "1");
}

#[test]
fn texts_that_are_too_long_are_refused_unread() {
    is_stopped("x".repeat(MAX_TEXT + 1));
    is_stopped("{{.}}".repeat(MAX_TEXT / 5));
    assert!(render_small("x".repeat(MAX_TEXT), Value::Nil, Options::default()).is_ok());
}

#[test]
fn what_is_within_the_limits_goes_through() {
    let limits = Limits { output: 10, steps: 1_000, templates: 2 };
    let options = Options { limits, ..Options::default() };
    let ok = |text: &str| render_small(text.to_owned(), Value::Nil, options.clone());
    assert_eq!(ok("0123456789").unwrap(), "0123456789");
    assert_eq!(ok("01234567890").unwrap_err().kind, ErrorKind::Limit);
    assert_eq!(ok("{{range until 3}}{{.}}{{end}}").unwrap(), "012");
    assert_eq!(ok("{{range until 900}}{{end}}").unwrap_err().kind, ErrorKind::Limit);
    assert_eq!(ok("{{define \"a\"}}a{{end}}{{template \"a\"}}").unwrap(), "a");
    let twice = "{{define \"b\"}}b{{end}}{{define \"a\"}}{{template \"b\"}}{{end}}{{template \"a\"}}";
    assert_eq!(ok(twice).unwrap_err().kind, ErrorKind::Limit);
}

#[test]
fn maps_and_lists_that_grow_by_one_are_affordable() {
    let map = "{{$m := dict}}{{range until 20000}}{{$_ := set $m (print .) .}}{{end}}{{len $m}}";
    assert_eq!(render_small(map.to_owned(), Value::Nil, Options::default()).unwrap(), "20000");
    let list = "{{$l := list}}{{range until 1000}}{{$l = append $l .}}{{end}}{{index $l 999}}";
    assert_eq!(render_small(list.to_owned(), Value::Nil, Options::default()).unwrap(), "999");
    // But what is kept is paid for.
    is_stopped("{{$x := until 100000}}{{$l := list}}{{range until 1000}}{{$l = append $l (rest $x)}}{{end}}");
    is_stopped(
        "{{$x := until 100000}}{{$l := list}}{{range until 1000}}{{$l = append $l (chunk 100000 $x)}}{{end}}",
    );
    is_stopped(
        "{{$x := repeat 100000 \"[],\"}}{{$l := list}}{{range until 100}}{{$l = append $l (fromJson (cat \"[\" $x \"1]\"))}}{{end}}",
    );
}

#[test]
fn swallowing_an_error_buys_no_more_steps() {
    // A failing `regexMatch` is false; one out of steps is not.
    is_stopped("{{range until 1000000}}{{regexMatch \"a\" (repeat 4000 \"b\")}}{{end}}");
}
