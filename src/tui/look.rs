//! How things look: every state is glyph + word + colour, so that none of the three is needed alone.

use super::theme::Theme;
use crate::engine::view::{Health, LogKind, ShadowView};
use crate::model::{Cause, NodeStatus};
use ratatui::style::{Color, Modifier, Style};

/// What a terminal can show. Settings decide it; nothing here reads the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// False for `NO_COLOR`: weight and glyphs alone tell states apart.
    pub color: bool,
    /// Only ASCII glyphs.
    pub ascii: bool,
    /// Lines are drawn in half blocks, for terminals whose font has no braille.
    pub blocks: bool,
    pub theme: Theme,
}

impl Default for Look {
    fn default() -> Self {
        Look {
            color: true,
            ascii: false,
            blocks: false,
            theme: Theme::default(),
        }
    }
}

/// What a piece of text means; the theme turns it into a style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Strong,
    Dim,
    Accent,
    Good,
    Watch,
    Moving,
    Warn,
    Bad,
    Foreseen,
}

impl Look {
    pub fn style(self, tone: Tone) -> Style {
        let weight = match tone {
            Tone::Strong | Tone::Bad | Tone::Moving => Modifier::BOLD,
            Tone::Dim if !self.color => Modifier::DIM,
            _ => Modifier::empty(),
        };
        let style = Style::new().add_modifier(weight);
        if !self.color {
            return style;
        }
        match self.theme.tones[tone as usize] {
            Color::Reset => style,
            colour => style.fg(colour),
        }
    }

    /// A badge that is seen from across the room.
    pub fn badge(self, tone: Tone) -> Style {
        self.style(tone)
            .add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }

    /// The row under the cursor; without colour the `>` before it says so.
    pub fn cursor(self) -> Style {
        if self.color {
            Style::new().bg(self.theme.cursor)
        } else {
            Style::new().add_modifier(Modifier::BOLD)
        }
    }

    /// `pretty`, or `plain` where only ASCII can be shown.
    pub fn pick(self, pretty: &'static str, plain: &'static str) -> &'static str {
        if self.ascii { plain } else { pretty }
    }

    /// Two of them.
    pub fn pick2(
        self,
        pretty: (&'static str, &'static str),
        plain: (&'static str, &'static str),
    ) -> (&'static str, &'static str) {
        if self.ascii { plain } else { pretty }
    }

    pub fn health(self, health: Health) -> (&'static str, &'static str, Tone) {
        match health {
            Health::Breach => (self.pick("✗", "X"), "breach", Tone::Bad),
            Health::Moving => (self.pick("▸", ">"), "moving", Tone::Moving),
            Health::Watch => (self.pick("◆", "*"), "ready", Tone::Watch),
            Health::Unknown => ("?", "unknown", Tone::Warn),
            Health::Good => (self.pick("●", "o"), "good", Tone::Good),
        }
    }

    pub fn cause(self, cause: Cause) -> (&'static str, &'static str, Tone) {
        match cause {
            Cause::Reactive => ("!", "reactive", Tone::Warn),
            Cause::Predicted => (self.pick("◇", "~"), "predicted", Tone::Watch),
            Cause::Learning => (self.pick("△", "^"), "learning", Tone::Accent),
            Cause::Upkeep => (self.pick("·", "."), "upkeep", Tone::Dim),
        }
    }

    pub fn node(self, status: NodeStatus) -> (&'static str, &'static str, Tone) {
        match status {
            NodeStatus::Ready => (self.pick("●", "o"), "ready", Tone::Good),
            NodeStatus::Initializing => (self.pick("◌", "-"), "starting", Tone::Watch),
            NodeStatus::Down => (self.pick("✗", "X"), "down", Tone::Bad),
            NodeStatus::Disconnected => ("?", "unheard", Tone::Warn),
        }
    }

    pub fn kind(self, kind: LogKind) -> (&'static str, &'static str, Tone) {
        match kind {
            LogKind::Portion => (self.pick("▪", "#"), "portion", Tone::Plain),
            LogKind::Shadow => (self.pick("◐", "%"), "shadow", Tone::Accent),
            LogKind::Verdict => (self.pick("⚖", "="), "verdict", Tone::Accent),
            LogKind::Forecast => (self.pick("◇", "~"), "forecast", Tone::Watch),
            LogKind::Plan => (self.pick("≡", "="), "plan", Tone::Plain),
            LogKind::Held => (self.pick("‖", "|"), "held", Tone::Warn),
            LogKind::Effect => (self.pick("▸", ">"), "effect", Tone::Moving),
            LogKind::Verification => (self.pick("✓", "v"), "verified", Tone::Good),
            LogKind::Fault => (self.pick("✗", "X"), "fault", Tone::Bad),
            LogKind::Lesson => (self.pick("△", "^"), "lesson", Tone::Accent),
            LogKind::Notice => (self.pick("·", "."), "notice", Tone::Dim),
        }
    }

    /// The state of a step, by its first word.
    pub fn step(self, state: &str) -> (&'static str, Tone) {
        match state.split([':', ' ']).next().unwrap_or_default() {
            "verified" => (self.pick("✓", "v"), Tone::Good),
            "held" | "waiting" => (self.pick("‖", "|"), Tone::Warn),
            "refused" | "stuck" => (self.pick("✗", "X"), Tone::Bad),
            "undoing" | "undone" => (self.pick("↩", "<"), Tone::Warn),
            _ => (self.pick("▸", ">"), Tone::Moving),
        }
    }

    /// The state of a shadow.
    pub fn shadow(self, shadow: &ShadowView) -> (&'static str, Tone) {
        let failed = shadow
            .verdict
            .as_ref()
            .is_some_and(|v| v.starts_with("fail"));
        match shadow.state.as_str() {
            "measuring" => (self.pick("◐", "%"), Tone::Moving),
            "starting" => (self.pick("◌", "-"), Tone::Watch),
            "stopping" => (self.pick("◌", "-"), Tone::Warn),
            _ if failed => (self.pick("✗", "X"), Tone::Bad),
            _ => (self.pick("✓", "v"), Tone::Good),
        }
    }

    /// Glyphs of a bar: used, reserved but idle, free.
    pub fn bar(self) -> (&'static str, &'static str, &'static str) {
        if self.ascii {
            ("#", "=", ".")
        } else {
            ("█", "▒", "░")
        }
    }

    /// Between the steps of a path and of the loop.
    pub fn arrow(self) -> &'static str {
        self.pick("›", ">")
    }
}
