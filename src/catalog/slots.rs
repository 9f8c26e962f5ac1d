//! The values of a request by the names that they are sent under. Knows nothing of what the names say.

use super::{body::BodyTemplate, fill::Fill, request::RequestTemplate};

/// The names in query, headers, cookies and body, members of members included, with what fills them.
pub(super) fn named(request: &RequestTemplate) -> Vec<(&str, &Fill)> {
    let RequestTemplate { method: _, path: _, query, headers, cookies, body, accept: _ } = request;
    let mut named: Vec<(&str, &Fill)> = query.iter().map(|slot| (slot.name.as_str(), &slot.fill)).collect();
    named.extend(headers.iter().map(|(name, fill)| (name.as_str(), fill)));
    named.extend(cookies.iter().map(|(name, fill)| (name.as_str(), fill)));
    match body {
        BodyTemplate::None => {}
        BodyTemplate::Json(fill) | BodyTemplate::Text { fill, .. } => members(fill, &mut named),
        BodyTemplate::Form(fields) => named.extend(fields.iter().map(|(name, fill)| (name.as_str(), fill))),
        BodyTemplate::Multipart(parts) => named.extend(parts.iter().map(|part| (part.name.as_str(), &part.fill))),
    }
    named
}

fn members<'a>(fill: &'a Fill, named: &mut Vec<(&'a str, &'a Fill)>) {
    match fill {
        Fill::Object(inner) => {
            for (name, fill) in inner {
                named.push((name, fill));
                members(fill, named);
            }
        }
        Fill::List(items) => items.iter().for_each(|item| members(item, named)),
        _ => {}
    }
}
