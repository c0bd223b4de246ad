//! How the dashboard and its pictures look, by flags.

use super::Exit;
use super::args::{GlyphKind, LookArgs};
use crate::settings::{self, Glyphs};
use crate::tui;
use crate::tui::look::Look;

impl LookArgs {
    /// The look that the flags, the locale and NO_COLOR make.
    pub fn look(&self) -> Result<Look, Exit> {
        let glyphs = match self.glyphs {
            GlyphKind::Auto => Glyphs::Auto,
            GlyphKind::Braille => Glyphs::Braille,
            GlyphKind::Blocks => Glyphs::Blocks,
            GlyphKind::Ascii => Glyphs::Ascii,
        };
        settings::look(self.theme.as_deref(), glyphs).map_err(Exit::usage)
    }

    /// The same with keys and who sits there, for a dashboard.
    pub fn options(&self, allow_act: bool) -> Result<tui::Options, Exit> {
        let keys = self.keys.as_deref().map(settings::keys).transpose();
        Ok(tui::Options {
            look: self.look()?,
            allow_act,
            who: settings::who(),
            keys: keys.map_err(Exit::usage)?.unwrap_or_default(),
            mouse: self.mouse,
        })
    }
}
