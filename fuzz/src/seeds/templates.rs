//! Templates that use a little of everything.

use super::{Seed, seed};

const DATA: &str = r#"{"s":"text","n":3,"big":1e6,"list":["a","b",null],"map":{"b":2,"a":"x"},"t":true}"#;

const SYNTAX: &str = r#"{{- /* all of the grammar */ -}}
{{define "x"}}{{.}}{{end}}{{template "x" .s}}{{block "y" .map}}{{.a}}{{end}}{{template "beside"}}
{{if and .t (eq .s "text")}}{{.n}}{{else if not .t}}{{.nope.x}}{{else}}b{{end}}
{{range $i, $e := .list}}{{if eq $i 1}}{{break}}{{end}}{{$e}}{{else}}none{{end}}
{{with $v := .map}}{{$v.a}}{{$v.b | printf "%5.2f|%v"}}{{end}}{{$x := 0x1F}}{{$x = 'a'}}{{$x}}
{{printf "%-8q|%+d|%x|%[1]*d" "s" 1 255}}{{index .list 0}}{{len .map}}{{html "<a>"}}{{println .big nil}}"#;

const SPRIG: &str = r#"{{list 1 2 3 | join "-"}} {{.s | upper | trunc 2 | quote}} {{splitList "," "a,b" | last}}
{{$m := dict "a" 1}}{{$_ := set $m "b" (list 1)}}{{merge $m .map | toJson}} {{toPrettyJson .}}
{{regexReplaceAll "(t)(e?)" .s "<$2>"}} {{regexSplit "[,;]" "a,b;c" -1}} {{semverCompare "^1.2" "1.3.0"}}
{{add 1 .n | mul 2}} {{divf 1 3}} {{round 2.5 0}} {{seq 1 3}} {{until 3}} {{date "2006-01-02 MST" 0}}
{{snakecase "HTTPServer"}} {{wrap 5 "a few words"}} {{nindent 2 "a\nb"}} {{b64dec (b64enc .s)}}
{{urlJoin (urlParse "http://u:p@h:1/p?q#f")}} {{toDate "2006-01-02" "2020-02-29" | dateModify "36h"}}
{{ternary 1 2 .t}} {{default "d" .nope}} {{dig "map" "a" "d" .}} {{uniq .list}} {{kindOf .n}}"#;

pub(super) fn all() -> Vec<Seed> {
    vec![
        seed("template", "plain", "null\nno actions\n"),
        seed("template", "syntax", format!("{DATA}\n{SYNTAX}")),
        seed("template", "sprig", format!("{DATA}\n{SPRIG}")),
    ]
}
