//! `screenshot`: screens of the dashboard as files.

use super::args::{AttachArgs, Picture, ScreenshotArgs};
use super::{Exit, by_hand, plot, sandbox, simulated};
use crate::engine::view::View;
use crate::model::Span;
use crate::tui;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

pub fn screenshot(args: ScreenshotArgs) -> Result<ExitCode, Exit> {
    let (size, format) = (size(&args.size)?, format(&args)?);
    let mut options = args.looks.options(false)?;
    // A picture is looked at elsewhere: neither this terminal's locale nor its NO_COLOR say what can be seen there.
    if args.looks.glyphs == super::args::GlyphKind::Auto {
        let look = &mut options.look;
        (look.ascii, look.blocks, look.color) = (false, false, true);
    }
    if args.export.is_none()
        && args.screens.len() > 1
        && !args.output.as_ref().is_some_and(|o| o.contains("{}"))
    {
        return Err(Exit::usage(
            "several screens need --output with {} in it, such as 'assets/{}.svg'",
        ));
    }
    // Wrong names are told before the sandbox has run.
    for screen in &args.screens {
        tui::screenshot(&View::default(), screen, size, format, &options).map_err(Exit::usage)?;
    }
    let view = match &args.attach {
        Some(attach) => by_hand::look(&AttachArgs {
            attach: Some(attach.clone()),
        })?,
        None if args.sandbox => sandbox::view_after(args.seed, args.after)?,
        None => simulated::short_run(args.seed, Span(args.after.as_millis() as i64))?,
    };
    if let Some(folder) = &args.export {
        return export(&view, folder);
    }
    for screen in &args.screens {
        let picture =
            tui::screenshot(&view, screen, size, format, &options).map_err(Exit::usage)?;
        match &args.output {
            Some(path) => {
                let path = path.replace("{}", screen);
                std::fs::write(&path, picture)
                    .map_err(|e| Exit::usage(format!("cannot write {path}: {e}")))?;
            }
            None => std::io::stdout()
                .write_all(&picture)
                .map_err(|e| Exit::failed(&e))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Plots of all portions, one file a kind.
fn export(view: &View, folder: &Path) -> Result<ExitCode, Exit> {
    std::fs::create_dir_all(folder)
        .map_err(|e| Exit::usage(format!("cannot make {}: {e}", folder.display())))?;
    let plots = [
        ("forecast.svg", plot::forecasts(&view.portions)),
        ("profiles.svg", plot::curves(&view.portions)),
        ("weights.svg", plot::weights(&view.portions)),
    ];
    for (name, picture) in plots {
        let path = folder.join(name);
        std::fs::write(&path, picture)
            .map_err(|e| Exit::usage(format!("cannot write {}: {e}", path.display())))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn size(text: &str) -> Result<(u16, u16), Exit> {
    let parts = text.split_once('x');
    parts
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)))
        .ok_or_else(|| Exit::usage(format!("--size {text} is not WIDTHxHEIGHT, such as 120x40")))
}

fn format(args: &ScreenshotArgs) -> Result<tui::Format, Exit> {
    let ending = args
        .output
        .as_ref()
        .and_then(|o| o.rsplit_once('.'))
        .map(|o| o.1);
    Ok(match (args.format, ending) {
        (Some(Picture::Txt), _) | (None, None) => tui::Format::Txt,
        (Some(Picture::Svg), _) => tui::Format::Svg,
        (Some(Picture::Png), _) => tui::Format::Png,
        (None, Some(ending)) => ending.parse().map_err(Exit::usage)?,
    })
}
