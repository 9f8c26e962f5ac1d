//! Rows of text → objects named by a header. Shared by delimited values, pages and Markdown.

use serde_json::{Map, Value};

use super::{DecodeError, budget::Budget};

/// The names of columns, each its own: a blank one is its number from 1, a repeated one gets a number.
pub(super) struct Header(Vec<String>);

impl Header {
    /// The header of a row.
    pub(super) fn new(cells: impl IntoIterator<Item = String>) -> Self {
        let mut taken = std::collections::HashMap::<String, usize>::new();
        let mut names = Vec::new();
        for (index, cell) in cells.into_iter().enumerate() {
            let plain = match cell.trim() {
                "" => (index + 1).to_string(),
                name => name.to_owned(),
            };
            let mut name = plain.clone();
            while taken.contains_key(&name) {
                let count = taken.entry(plain.clone()).and_modify(|count| *count += 1).or_insert(2);
                name = format!("{plain}_{count}");
            }
            taken.insert(name.clone(), 1);
            names.push(name);
        }
        Self(names)
    }

    /// How many columns there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The object of a row. Cells beyond the header are named by their number; columns beyond the row are left out.
    pub(super) fn row(
        &self,
        cells: impl IntoIterator<Item = String>,
        budget: &mut Budget,
    ) -> Result<Value, DecodeError> {
        let mut members = Map::new();
        for (index, cell) in cells.into_iter().enumerate() {
            let name = self.0.get(index).cloned().unwrap_or_else(|| (index + 1).to_string());
            budget.spend(name.len() + cell.len())?;
            members.insert(name, Value::String(cell));
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn strings(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn every_column_has_its_own_name() {
        let header = Header::new(strings(&[" a ", "", "a", "a", "a_2"]));
        assert_eq!(header.0, ["a", "2", "a_2", "a_3", "a_2_2"]);
        let mut budget = Budget::new("a table");
        let row = header.row(strings(&["1", "2", "3", "4", "5", "6"]), &mut budget);
        assert_eq!(row, Ok(json!({"a": "1", "2": "2", "a_2": "3", "a_3": "4", "a_2_2": "5", "6": "6"})));
        assert_eq!(header.row(strings(&["1"]), &mut budget), Ok(json!({"a": "1"})));
    }
}
