//! Colours of tones: the terminal's own sixteen, or a theme that brings its ground along.

use ratatui::style::Color;

/// Text must stand out from its ground at least so much (WCAG 2.1, success criterion 1.4.3).
pub const CONTRAST: f64 = 4.5;

/// What each tone of [`super::look::Tone`] is drawn in, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    pub tones: [Color; 10],
    /// Background and foreground of everything; `None` leaves the terminal's own.
    pub ground: Option<(Color, Color)>,
    /// Behind the row under the cursor, and behind a forecast's band.
    pub cursor: Color,
    pub band: Color,
}

/// Names of tones and grounds as a theme's file has them.
const KEYS: [&str; 14] = [
    "plain", "strong", "dim", "accent", "good", "watch", "moving", "warn", "bad", "foreseen",
    "ground", "text", "cursor", "band",
];

/// The built-in themes by name.
pub const NAMES: [&str; 5] = ["default", "dark", "light", "deuteranopia", "tritanopia"];

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ThemeError {
    #[error("a theme has no colour `{key}`; did you mean `{near}`? it has {}", KEYS.join(", "))]
    Key { key: String, near: &'static str },
    #[error("`{key} = {value:?}` is no colour; write it as \"#rrggbb\"")]
    Colour { key: String, value: String },
    #[error(
        "{key} on {ground} has a contrast of {ratio:.1}, less than {CONTRAST}: it could not be read; take a lighter or a darker one"
    )]
    Faint {
        key: &'static str,
        ground: &'static str,
        ratio: f64,
    },
}

const fn rgb(hex: u32) -> Color {
    Color::Rgb((hex >> 16) as u8, (hex >> 8) as u8, hex as u8)
}

const fn of(tones: [u32; 10], ground: (u32, u32), cursor: u32, band: u32) -> Theme {
    let mut all = [Color::Reset; 10];
    let mut k = 0;
    while k < 10 {
        all[k] = rgb(tones[k]);
        k += 1;
    }
    Theme {
        tones: all,
        ground: Some((rgb(ground.0), rgb(ground.1))),
        cursor: rgb(cursor),
        band: rgb(band),
    }
}

const DEFAULT: Theme = Theme {
    tones: [
        Color::Reset,
        Color::Reset,
        Color::DarkGray,
        Color::Cyan,
        Color::Green,
        Color::LightBlue,
        Color::LightMagenta,
        Color::Yellow,
        Color::LightRed,
        Color::Blue,
    ],
    ground: None,
    cursor: Color::Indexed(236),
    band: Color::Indexed(24),
};

const DARK: Theme = of(
    [
        0xd5dae3, 0xffffff, 0x8e98aa, 0x5fc9d6, 0x8cc570, 0x82b8ff, 0xd79bf5, 0xe8c06a, 0xff7b85,
        0x74a8f4,
    ],
    (0x11151c, 0xd5dae3),
    0x28303d,
    0x123a52,
);

const LIGHT: Theme = of(
    [
        0x24292f, 0x000000, 0x5b6470, 0x0b6472, 0x1d6b2c, 0x0b54b0, 0x7a2aa8, 0x7d4e00, 0xb3122a,
        0x1a5296,
    ],
    (0xfbfaf7, 0x24292f),
    0xe3e8ef,
    0xd6e6f7,
);

// Blue for good and orange for bad: told apart without a sense for green (after Okabe and Ito, Color Universal Design, 2008).
const DEUTERANOPIA: Theme = of(
    [
        0xd5dae3, 0xffffff, 0x8e98aa, 0xb8c7da, 0x56b4e9, 0x9ad0f5, 0xf0e442, 0xf5cf6b, 0xff9040,
        0x86a9ff,
    ],
    (0x11151c, 0xd5dae3),
    0x28303d,
    0x123a52,
);

// Teal for good and red for bad: told apart without a sense for blue.
const TRITANOPIA: Theme = of(
    [
        0xd5dae3, 0xffffff, 0x8e98aa, 0xc3ced6, 0x35d0c2, 0x8fe3dc, 0xffb3d6, 0xf3b7a0, 0xff6473,
        0x6fc7d8,
    ],
    (0x11151c, 0xd5dae3),
    0x28303d,
    0x17423f,
);

impl Default for Theme {
    fn default() -> Self {
        DEFAULT
    }
}

impl Theme {
    pub fn named(name: &str) -> Option<Theme> {
        Some(match name {
            "default" => DEFAULT,
            "dark" => DARK,
            "light" => LIGHT,
            "deuteranopia" => DEUTERANOPIA,
            "tritanopia" => TRITANOPIA,
            _ => return None,
        })
    }

    /// The dark theme with some colours changed, as a file gives them: `key` and `#rrggbb`.
    ///
    /// # Errors
    /// An unknown key, something that is no colour, or text that could not be read on its ground.
    pub fn with<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Theme, ThemeError> {
        let mut theme = DARK;
        for (key, value) in pairs {
            let colour = colour(value).ok_or_else(|| ThemeError::Colour {
                key: key.into(),
                value: value.into(),
            })?;
            let (ground, text) = theme.ground.unwrap_or((Color::Reset, Color::Reset));
            match KEYS.iter().position(|k| *k == key) {
                Some(k) if k < 10 => theme.tones[k] = colour,
                Some(10) => theme.ground = Some((colour, text)),
                Some(11) => theme.ground = Some((ground, colour)),
                Some(12) => theme.cursor = colour,
                Some(_) => theme.band = colour,
                None => return Err(unknown(key)),
            }
        }
        match theme.faint() {
            Some((key, ground, ratio)) => Err(ThemeError::Faint { key, ground, ratio }),
            None => Ok(theme),
        }
    }

    /// The first tone that could not be read on one of the grounds it is drawn on, and its contrast.
    pub fn faint(&self) -> Option<(&'static str, &'static str, f64)> {
        let (ground, text) = self.ground?;
        let tones = KEYS.iter().zip(self.tones).chain([(&"text", text)]);
        let mut all = tones.flat_map(|(key, tone)| {
            // Lines and labels lie over bands too, the cursor is under whole rows.
            [
                (*key, "ground", contrast(tone, ground)),
                (*key, "cursor", contrast(tone, self.cursor)),
            ]
        });
        all.find(|(_, _, ratio)| *ratio < CONTRAST)
    }
}

fn unknown(key: &str) -> ThemeError {
    let near = KEYS.iter().max_by(|a, b| {
        let like = |k: &str| strsim::jaro_winkler(k, key);
        like(a).total_cmp(&like(b))
    });
    ThemeError::Key {
        key: key.into(),
        near: near.copied().unwrap_or("plain"),
    }
}

fn colour(text: &str) -> Option<Color> {
    let hex = text.strip_prefix('#').filter(|h| h.len() == 6)?;
    u32::from_str_radix(hex, 16).ok().map(rgb)
}

/// Contrast of two colours, 1…21 (WCAG 2.1); those that the terminal chooses have none to tell.
pub fn contrast(a: Color, b: Color) -> f64 {
    let (Some(a), Some(b)) = (luminance(a), luminance(b)) else {
        return f64::INFINITY;
    };
    let (light, dark) = if a > b { (a, b) } else { (b, a) };
    (light + 0.05) / (dark + 0.05)
}

fn luminance(colour: Color) -> Option<f64> {
    let Color::Rgb(r, g, b) = colour else {
        return None;
    };
    let [r, g, b] = [r, g, b].map(linear);
    Some(0.2126 * r + 0.7152 * g + 0.0722 * b)
}

/// One channel of sRGB as light.
pub fn linear(channel: u8) -> f64 {
    let c = f64::from(channel) / 255.0;
    if c <= 0.04045 {
        c / 12.92
    } else {
        ((c + 0.055) / 1.055).powf(2.4)
    }
}
