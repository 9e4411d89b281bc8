//! Templates of boot content, which operators write and others hand on.

use crate::text::lossy;
use serde_json::Value as Json;
use template::{Delimiters, Limits, MissingKey, Options, TemplateError, Templates, Value};

/// Longest sentence about a template, in characters: it repeats a piece of it.
const MAX_SENTENCE: usize = 1_024;

/// A template and its data, as JSON in the first line: parsing and rendering end within their limits,
/// say the same when asked again, and what has no actions is the text itself.
pub fn template(data: &[u8]) -> bool {
    let input = lossy(data);
    let (first, text) = input.split_once('\n').unwrap_or(("null", &input));
    let json = serde_json::from_str(first).unwrap_or(Json::Null);
    let limits = Limits { output: 64 * 1_024, steps: 100_000, templates: 20 };
    let mut understood = false;
    for missing_key in [MissingKey::Default, MissingKey::Error] {
        let options = Options { missing_key, limits: limits.clone() };
        let rendered = render(text, &json, &options);
        assert_eq!(render(text, &json, &options), rendered, "asked again");
        match rendered {
            Ok(output) => {
                assert!(output.len() <= limits.output, "{} bytes of output", output.len());
                assert!(text.contains("{{") || output == text, "text is as it was written");
                understood = true;
            }
            Err(error) => is_plain(&error),
        }
    }
    understood
}

/// Renders with data of its own: a template may change what it is given.
fn render(text: &str, json: &Json, options: &Options) -> Result<String, TemplateError> {
    let mut templates = Templates::default();
    templates.add("beside", "<{{.}}>", &Delimiters::default())?;
    templates.add("main", text, &Delimiters::default())?;
    templates.render("main", Value::from(json), options)
}

/// A message is for a terminal and a log: one line, bounded, nothing that a terminal obeys.
fn is_plain(error: &TemplateError) {
    let sentence = error.to_string();
    assert!(sentence.chars().count() <= MAX_SENTENCE, "a sentence of {} bytes", sentence.len());
    let wild = sentence.chars().find(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(c));
    assert_eq!(wild, None, "in {sentence:?}");
}
