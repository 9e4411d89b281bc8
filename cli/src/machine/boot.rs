//! `muster machine boot`: what a machine would boot now, why, and the files rendered for it.

use super::path;
use crate::job;
use crate::print;
use crate::rest::{Call, decode};
use anyhow::{Result, bail};
use protocol::rest::{BootFileShown, BootPreview};

/// Arguments of `muster machine boot`
#[derive(Debug, clap::Args)]
pub(crate) struct Boot {
    /// Name or UUID
    machine: String,
    /// Print this file as it would be rendered, without tokens and nonces
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    #[command(flatten)]
    call: Call,
}

pub(crate) async fn boot(args: Boot) -> Result<()> {
    let answer = args.call.client()?.get(&format!("{}/boot", path(&args.machine))).await?;
    let preview: BootPreview = decode(&answer)?;
    match &args.file {
        None => args.call.show(&answer, || Ok(draw(&preview))),
        Some(wanted) => {
            let file = find(&preview, wanted)?;
            job::write_part(text_of(file)?.as_bytes())
        }
    }
}

fn find<'a>(preview: &'a BootPreview, wanted: &str) -> Result<&'a BootFileShown> {
    let wanted = wanted.trim_start_matches('/');
    let Some(file) = preview.files.iter().find(|file| file.path == wanted) else {
        let paths: Vec<&str> = preview.files.iter().map(|file| file.path.as_str()).collect();
        bail!("it has no file {wanted}, but {}", paths.join(", "));
    };
    Ok(file)
}

fn text_of(file: &BootFileShown) -> Result<String> {
    if !file.error.is_empty() {
        bail!("{} cannot be rendered: {}", file.path, file.error);
    }
    if !file.link.is_empty() {
        return Ok(format!("served from {}", print::one_line(&file.link)));
    }
    Ok(file.text.clone())
}

fn draw(preview: &BootPreview) -> String {
    let or = |text: &str, none: &str, reason: &str| match (text.is_empty(), reason.is_empty()) {
        (false, _) => text.to_owned(),
        (true, true) => none.to_owned(),
        (true, false) => format!("{none}: {reason}"),
    };
    let fields = print::fields(&[
        ("Boots", preview.boot_env.clone()),
        ("Why", preview.reason.clone()),
        ("Available", if preview.available { "yes".to_owned() } else { preview.errors.join("; ") }),
        ("Kernel", or(&preview.kernel, "none, it goes on to its disk", "")),
        ("Initrds", preview.initrds.join(", ")),
        ("First loader", or(&preview.loader, "none", &preview.no_loader)),
        ("Loads from", preview.from.clone()),
        ("HTTP Boot", if preview.http_image.given { "image" } else { &preview.http_image.reason }.to_owned()),
    ]);
    let row = |file: &BootFileShown| {
        let what = match (file.error.as_str(), file.link.as_str()) {
            ("", "") => print::bytes(file.size),
            ("", link) => format!("from {link}"),
            (error, _) => format!("cannot be rendered: {error}"),
        };
        vec![file.path.clone(), what]
    };
    let files = preview.files.iter().map(row).collect();
    format!("{fields}\n\n{}", print::table(&["FILE", "WHAT"], files, "no files are rendered for it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preview() -> BootPreview {
        let file = |path: &str| BootFileShown { path: path.into(), ..BootFileShown::default() };
        BootPreview {
            boot_env: "muster".into(),
            reason: "Its stage hello is one in muster.".into(),
            available: true,
            no_loader: "the door of TFTP is shut".into(),
            files: vec![
                BootFileShown { text: "#!ipxe\nboot\n".into(), size: 12, ..file("a.ipxe") },
                BootFileShown { link: "http://files/x".into(), ..file("away") },
                BootFileShown { error: "no param x".into(), ..file("bad") },
            ],
            ..BootPreview::default()
        }
    }

    #[test]
    fn what_boots_is_told_with_its_files() {
        let told = draw(&preview());
        for line in [
            "Why           Its stage hello is one in muster.",
            "Kernel        none, it goes on to its disk",
            "First loader  none: the door of TFTP is shut",
            "away    from http://files/x",
            "bad     cannot be rendered: no param x",
        ] {
            assert!(told.contains(line), "{line} is not in\n{told}");
        }
    }

    #[test]
    fn one_file_is_printed_or_said_to_be_missing() {
        let preview = preview();
        let text = |path| find(&preview, path).and_then(text_of);
        assert_eq!(text("/a.ipxe").unwrap(), "#!ipxe\nboot\n");
        assert_eq!(text("away").unwrap(), "served from http://files/x");
        assert!(text("bad").unwrap_err().to_string().contains("no param x"));
        assert!(text("other").unwrap_err().to_string().contains("a.ipxe, away, bad"));
    }
}
