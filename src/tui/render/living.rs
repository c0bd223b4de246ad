//! What lives at the sites that are shown: one pass over the view, however many portions and sites there are.

use crate::engine::view::{ShadowView, SiteView, View};
use crate::model::{Link, Site};
use std::collections::HashMap;

/// Names that are told of one site.
const NAMES: usize = 40;
/// Shadows that are told of one site.
const SHADOWS: usize = 20;

/// Who lives at a site, what they answer, and how far the others are.
#[derive(Default)]
struct Here<'a> {
    primary: Vec<&'a str>,
    standby: Vec<&'a str>,
    shadows: Vec<&'a ShadowView>,
    links: Vec<&'a Link>,
    load: f64,
}

pub struct Living<'a> {
    at: HashMap<&'a str, Here<'a>>,
}

impl<'a> Living<'a> {
    /// Looks through the view for what is at these sites, and passes over the rest.
    pub fn of(view: &'a View, sites: impl Iterator<Item = &'a SiteView>) -> Self {
        let mut at: HashMap<&str, Here> =
            sites.map(|s| (s.site.as_str(), Here::default())).collect();
        for p in &view.portions {
            let rate = p.traffic.as_ref().map_or(0.0, |t| t.rate.0);
            let name = p.id.as_str();
            for i in &p.instances {
                let Some(here) = at.get_mut(i.site.as_str()) else {
                    continue;
                };
                here.load += rate * i.observed.unwrap_or(i.desired).fraction();
                let names = match &*i.role {
                    "standby" => &mut here.standby,
                    _ => &mut here.primary,
                };
                if names.len() < NAMES && names.last() != Some(&name) {
                    names.push(name);
                }
            }
        }
        for s in view.shadows.iter().filter(|s| s.state != "done") {
            let here = at.get_mut(s.site.as_str());
            if let Some(here) = here.filter(|h| h.shadows.len() < SHADOWS) {
                here.shadows.push(s);
            }
        }
        for link in &view.links {
            for end in [&link.from, &link.to] {
                if let Some(here) = at.get_mut(end.as_str()) {
                    here.links.push(link);
                }
            }
        }
        Living { at }
    }

    fn here(&self, site: &Site) -> Option<&Here<'a>> {
        self.at.get(site.as_str())
    }

    /// Portions with a primary there, each once.
    pub fn primaries(&self, site: &Site) -> String {
        self.here(site)
            .map_or(String::new(), |h| h.primary.join(" "))
    }

    /// Portions with a standby there, each once.
    pub fn standbys(&self, site: &Site) -> String {
        self.here(site)
            .map_or(String::new(), |h| h.standby.join(" "))
    }

    /// Shadows that run there.
    pub fn shadows(&self, site: &Site) -> &[&'a ShadowView] {
        self.here(site).map_or(&[], |h| &h.shadows)
    }

    /// Requests a second that instances there answer, by the shares seen, or asked for where none could be seen.
    pub fn load(&self, site: &Site) -> f64 {
        self.here(site).map_or(0.0, |h| h.load)
    }

    /// Round-trip time between two sites of which the first is shown, in ms.
    pub fn rtt(&self, a: &Site, b: &Site) -> Option<f64> {
        let links = &self.here(a)?.links;
        let fits = |l: &&&Link| (&l.from == a && &l.to == b) || (&l.from == b && &l.to == a);
        links.iter().find(fits).map(|l| l.rtt.0)
    }

    /// The sites that a site has links to, with their round-trip times in ms, each once.
    pub fn reach(&self, site: &Site) -> Vec<(&'a Site, f64)> {
        let mut all: Vec<(&Site, f64)> = Vec::new();
        for l in self.here(site).map_or(&[][..], |h| &h.links) {
            let other = if &l.from == site { &l.to } else { &l.from };
            if all.iter().all(|(known, _)| *known != other) {
                all.push((other, l.rtt.0));
            }
        }
        all
    }
}
