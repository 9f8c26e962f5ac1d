//! Another method than that of the request, which services take from a header or a parameter of it. Knows nothing of what
//! methods do.

use crate::catalog::{
    fill::{Fill, text_of},
    request::RequestTemplate,
    slots,
};

/// Names that frameworks read a method from, in small letters without marks between the words.
const NAMES: [&str; 4] = ["xhttpmethodoverride", "xhttpmethod", "xmethodoverride", "_method"];

/// The method that is meant.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::catalog) enum Meant {
    /// This one.
    Fixed { name: String, method: String },
    /// Whichever the caller names.
    Open { name: String },
}

/// The methods that are meant besides that of the request.
pub(in crate::catalog) fn meant(request: &RequestTemplate) -> Vec<Meant> {
    let named = slots::named(request).into_iter().filter(|(name, _)| is_method(name));
    let meant = named.map(|(name, fill)| {
        let method = match fill {
            Fill::Literal(value) => text_of(value),
            _ => None,
        };
        let name = name.to_owned();
        match method {
            Some(method) => Meant::Fixed { name, method: method.trim().to_ascii_uppercase() },
            None => Meant::Open { name },
        }
    });
    meant.collect()
}

fn is_method(name: &str) -> bool {
    let letters: String = name.chars().filter(|one| *one != '-').map(|one| one.to_ascii_lowercase()).collect();
    NAMES.contains(&letters.as_str())
}
