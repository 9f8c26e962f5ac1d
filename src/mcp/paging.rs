//! Lists in pages. A cursor says which page comes next, nothing about who asks.

use rmcp::ErrorData;

/// How many entries one page of a list holds.
const PAGE: usize = 100;

/// The page of a list that a cursor names, and the cursor of the next one. Error: a cursor that was never given.
pub(super) fn page<T>(
    list: impl Iterator<Item = T>,
    cursor: Option<&str>,
) -> Result<(Vec<T>, Option<String>), ErrorData> {
    let list: Vec<T> = list.collect();
    let start = match cursor {
        None => 0,
        Some(cursor) => page_start(cursor, list.len()).ok_or_else(|| {
            ErrorData::invalid_params("unknown `cursor`; take the `nextCursor` of the page before, or begin without one: the list may have changed", None)
        })?,
    };
    let end = start.saturating_add(PAGE);
    let next = (end < list.len()).then(|| page_cursor(end));
    Ok((list.into_iter().skip(start).take(PAGE).collect(), next))
}

/// The cursor of the page that starts at this entry.
fn page_cursor(start: usize) -> String {
    format!("page-{:x}", start / PAGE)
}

/// Where the cursor's page starts; none for a cursor that [`page_cursor`] never gave for this many entries.
fn page_start(cursor: &str, entries: usize) -> Option<usize> {
    let page = usize::from_str_radix(cursor.strip_prefix("page-")?, 16).ok()?;
    let start = page.checked_mul(PAGE)?;
    (start > 0 && start < entries && page_cursor(start) == cursor).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_lead_to_the_next_page_only() {
        assert_eq!(page_start(&page_cursor(100), 250), Some(100));
        assert_eq!(page_start(&page_cursor(1_700), 1_800), Some(1_700));
        for bad in ["", "page-", "page-0", "page-3", "page-+1", "page-01", "page-ffffffffffffffff", "1", "page-1 ", "é"]
        {
            assert_eq!(page_start(bad, 250), None, "{bad}");
        }
        assert_eq!(page_start("page-1", 100), None, "100 entries are one page");
    }

    #[test]
    fn pages_hold_every_entry_once() {
        let list: Vec<usize> = (0..250).collect();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let (entries, next) = page(list.iter().copied(), cursor.as_deref()).unwrap();
            seen.extend(entries);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, list);
    }
}
