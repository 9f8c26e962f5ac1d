//! CSS selectors, as far as they say where a table is (Selectors Level 4): names of elements, `*`, `#id`, `.class`,
//! attributes, places among siblings, `:not()`, and the four combinators.
//!
//! A page is matched part by part, not element by element: however a selector is written, it costs one pass for each of
//! its parts.

use std::{collections::HashMap, iter::Peekable, str::Chars};

use super::page::{Element, NodeId, Page};
use crate::decode::FormatError;

/// A list of CSS selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CssSelector {
    text: String,
    alternatives: Vec<Vec<(Combinator, Compound)>>,
}

/// How an element stands to that of the part before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Combinator {
    /// Anywhere below; for the first part, anywhere in the page.
    Descendant,
    Child,
    NextSibling,
    LaterSibling,
}

/// What is asked of one element.
type Compound = Vec<Condition>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Any,
    Name(String),
    Class(String),
    Attribute {
        name: String,
        test: Test,
        value: String,
        ignore_case: bool,
    },
    /// The number among its siblings is `step * n + offset`.
    Nth {
        step: i64,
        offset: i64,
        same_name: bool,
        from_end: bool,
    },
    /// Has no siblings of its name, or none at all.
    Only {
        same_name: bool,
    },
    Not(Vec<Compound>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Equals,
    Word,
    Dashed,
    Begins,
    Ends,
    Contains,
}

/// The number of an element among its siblings, from 1 and from the end, for all of them and for those of its name.
#[derive(Clone, Copy, Default)]
struct Position {
    index: [i64; 2],
    count: [i64; 2],
}

impl CssSelector {
    /// Reads selectors. Error: [`FormatError::Selector`] for what is none and for what is not understood here.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let text = text.trim();
        let alternatives = Reader { rest: text.chars().peekable() }.list();
        let alternatives = alternatives.ok_or_else(|| FormatError::Selector(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), alternatives })
    }

    /// The selectors as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// For every node of a page, whether it is an element that is selected.
    pub(super) fn select(&self, page: &Page) -> Vec<bool> {
        let positions = positions(page);
        let mut selected = vec![false; page.len()];
        for parts in &self.alternatives {
            let mut matched = vec![false; page.len()];
            for (index, (combinator, compound)) in parts.iter().enumerate() {
                let reached = if index == 0 { vec![true; page.len()] } else { reach(page, &matched, *combinator) };
                for (id, (matched, reached)) in matched.iter_mut().zip(reached).enumerate() {
                    *matched = reached
                        && page.element(id).is_some_and(|element| {
                            let position = positions.get(id).copied().unwrap_or_default();
                            fits(compound, element, position)
                        });
                }
            }
            selected.iter_mut().zip(matched).for_each(|(selected, matched)| *selected |= matched);
        }
        selected
    }
}

/// The elements that stand in a relation to one that is marked.
fn reach(page: &Page, marked: &[bool], combinator: Combinator) -> Vec<bool> {
    let is_marked = |id: NodeId| marked.get(id).copied().unwrap_or_default();
    let mut reached = vec![false; page.len()];
    for id in page.descendants(0) {
        let above = is_marked(id) || (combinator == Combinator::Descendant && reached.get(id) == Some(&true));
        let mut beside = false;
        for child in page.children(id) {
            let reaches = match combinator {
                Combinator::Descendant | Combinator::Child => above,
                Combinator::NextSibling | Combinator::LaterSibling => beside,
            };
            if let Some(reached) = reached.get_mut(child) {
                *reached = reaches;
            }
            beside = is_marked(child) || (beside && combinator == Combinator::LaterSibling);
        }
    }
    reached
}

fn positions(page: &Page) -> Vec<Position> {
    let mut positions = vec![Position::default(); page.len()];
    for parent in 0..page.len() {
        let mut counts = HashMap::<&str, i64>::new();
        let mut count = 0;
        for child in page.children(parent) {
            let Some(element) = page.element(child) else { continue };
            let of_name = counts.entry(element.name()).or_default();
            *of_name += 1;
            count += 1;
            if let Some(position) = positions.get_mut(child) {
                position.index = [count, *of_name];
            }
        }
        for child in page.children(parent) {
            if let (Some(position), Some(element)) = (positions.get_mut(child), page.element(child)) {
                position.count = [count, counts.get(element.name()).copied().unwrap_or_default()];
            }
        }
    }
    positions
}

fn fits(compound: &[Condition], element: &Element, position: Position) -> bool {
    let ([index, same_index], [count, same_count]) = (position.index, position.count);
    let of = |same_name: bool| if same_name { (same_index, same_count) } else { (index, count) };
    compound.iter().all(|condition| match condition {
        Condition::Any => true,
        Condition::Name(name) => element.name() == name,
        Condition::Class(class) => {
            element.attribute("class").is_some_and(|classes| classes.split_ascii_whitespace().any(|own| own == class))
        }
        Condition::Attribute { name, test, value, ignore_case } => element.attribute(name).is_some_and(|own| {
            if *ignore_case { test.holds(&own.to_lowercase(), &value.to_lowercase()) } else { test.holds(own, value) }
        }),
        Condition::Nth { step, offset, same_name, from_end } => {
            let (index, count) = of(*same_name);
            let distance = if *from_end { count - index + 1 } else { index }.saturating_sub(*offset);
            match step {
                0 => distance == 0,
                step => distance.checked_rem(*step) == Some(0) && distance.signum() * step.signum() >= 0,
            }
        }
        Condition::Only { same_name } => of(*same_name).1 == 1,
        Condition::Not(alternatives) => !alternatives.iter().any(|compound| fits(compound, element, position)),
    })
}

impl Test {
    fn holds(self, own: &str, value: &str) -> bool {
        match self {
            Self::Exists => true,
            Self::Equals => own == value,
            Self::Word => own.split_ascii_whitespace().any(|word| word == value),
            Self::Dashed => own.strip_prefix(value).is_some_and(|rest| rest.is_empty() || rest.starts_with('-')),
            Self::Begins => !value.is_empty() && own.starts_with(value),
            Self::Ends => !value.is_empty() && own.ends_with(value),
            Self::Contains => !value.is_empty() && own.contains(value),
        }
    }
}

/// Reads selectors; `None` is an error throughout.
struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    fn list(mut self) -> Option<Vec<Vec<(Combinator, Compound)>>> {
        let mut alternatives = Vec::new();
        loop {
            self.space();
            alternatives.push(self.alternative()?);
            match self.rest.next() {
                Some(',') => {}
                None => return Some(alternatives),
                Some(_) => return None,
            }
        }
    }

    /// Compounds with their combinators, up to a comma or the end.
    fn alternative(&mut self) -> Option<Vec<(Combinator, Compound)>> {
        let mut parts = vec![(Combinator::Descendant, self.compound()?)];
        loop {
            let spaced = self.space();
            let combinator = match self.rest.peek() {
                None | Some(',') => return Some(parts),
                Some('>') => Combinator::Child,
                Some('+') => Combinator::NextSibling,
                Some('~') => Combinator::LaterSibling,
                Some(_) if spaced => Combinator::Descendant,
                Some(_) => return None,
            };
            if combinator != Combinator::Descendant {
                self.rest.next();
                self.space();
            }
            parts.push((combinator, self.compound()?));
        }
    }

    fn compound(&mut self) -> Option<Compound> {
        let mut conditions = Vec::new();
        loop {
            let is_first = conditions.is_empty();
            conditions.push(match self.rest.peek() {
                Some('*') if is_first => {
                    self.rest.next();
                    Condition::Any
                }
                Some('#') => {
                    self.rest.next();
                    let (name, value) = ("id".to_owned(), self.name()?);
                    Condition::Attribute { name, test: Test::Equals, value, ignore_case: false }
                }
                Some('.') => {
                    self.rest.next();
                    Condition::Class(self.name()?)
                }
                Some('[') => {
                    self.rest.next();
                    self.attribute()?
                }
                Some(':') => {
                    self.rest.next();
                    self.pseudo_class()?
                }
                _ if is_first => Condition::Name(self.name()?.to_ascii_lowercase()),
                _ => return Some(conditions),
            });
        }
    }

    fn attribute(&mut self) -> Option<Condition> {
        self.space();
        let name = self.name()?.to_ascii_lowercase();
        self.space();
        let test = match self.rest.next()? {
            ']' => {
                return Some(Condition::Attribute {
                    name,
                    test: Test::Exists,
                    value: String::new(),
                    ignore_case: false,
                });
            }
            '=' => Test::Equals,
            sign => {
                let test = match sign {
                    '~' => Test::Word,
                    '|' => Test::Dashed,
                    '^' => Test::Begins,
                    '$' => Test::Ends,
                    '*' => Test::Contains,
                    _ => return None,
                };
                (self.rest.next()? == '=').then_some(test)?
            }
        };
        self.space();
        let value = self.value()?;
        self.space();
        let flag = self.rest.next_if(|character| matches!(character, 'i' | 'I' | 's' | 'S'));
        self.space();
        let ignore_case = flag.is_some_and(|flag| flag.eq_ignore_ascii_case(&'i'));
        (self.rest.next()? == ']').then_some(Condition::Attribute { name, test, value, ignore_case })
    }

    fn pseudo_class(&mut self) -> Option<Condition> {
        let name = self.name()?.to_ascii_lowercase();
        let nth = |offset, same_name, from_end| Condition::Nth { step: 0, offset, same_name, from_end };
        Some(match name.as_str() {
            "first-child" => nth(1, false, false),
            "last-child" => nth(1, false, true),
            "first-of-type" => nth(1, true, false),
            "last-of-type" => nth(1, true, true),
            "only-child" => Condition::Only { same_name: false },
            "only-of-type" => Condition::Only { same_name: true },
            "nth-child" | "nth-last-child" | "nth-of-type" | "nth-last-of-type" => {
                let (step, offset) = formula(&self.argument()?)?;
                Condition::Nth {
                    step,
                    offset,
                    same_name: name.ends_with("of-type"),
                    from_end: name.starts_with("nth-last"),
                }
            }
            "not" => {
                let argument = self.argument()?;
                let alternatives = Reader { rest: argument.chars().peekable() }.list()?;
                let compounds = alternatives.into_iter().map(|mut parts| match (parts.pop(), parts.is_empty()) {
                    // A `:not()` within a `:not()` says nothing that could not be said without, and recurses.
                    (Some((_, part)), true) if !part.iter().any(|part| matches!(part, Condition::Not(_))) => Some(part),
                    _ => None,
                });
                Condition::Not(compounds.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    /// What stands between parentheses; the ones within it must be closed.
    fn argument(&mut self) -> Option<String> {
        (self.rest.next()? == '(').then_some(())?;
        let mut argument = String::new();
        let mut depth = 1_usize;
        loop {
            let character = self.rest.next()?;
            match character {
                // One level is all that is read of them.
                '(' if depth > 1 => return None,
                '(' => depth += 1,
                ')' if depth == 1 => return Some(argument),
                ')' => depth -= 1,
                _ => {}
            }
            argument.push(character);
        }
    }

    /// A text in quotes or a name.
    fn value(&mut self) -> Option<String> {
        let Some(quote) = self.rest.next_if(|character| matches!(character, '"' | '\'')) else { return self.name() };
        let mut value = String::new();
        loop {
            match self.rest.next()? {
                '\\' => value.push(self.rest.next()?),
                character if character == quote => return Some(value),
                character => value.push(character),
            }
        }
    }

    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        while let Some(character) = self.rest.next_if(|character| {
            character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '\\') || !character.is_ascii()
        }) {
            name.push(if character == '\\' { self.rest.next()? } else { character });
        }
        (!name.is_empty()).then_some(name)
    }

    fn space(&mut self) -> bool {
        let mut any = false;
        while self.rest.next_if(|character| character.is_ascii_whitespace()).is_some() {
            any = true;
        }
        any
    }
}

/// `odd`, `even`, `3`, `2n`, `-n+3`: step and offset.
fn formula(text: &str) -> Option<(i64, i64)> {
    let text = text.to_ascii_lowercase().split_ascii_whitespace().collect::<String>();
    match text.as_str() {
        "odd" => return Some((2, 1)),
        "even" => return Some((2, 0)),
        _ => {}
    }
    let number = |text: &str| text.parse::<i32>().ok().map(i64::from);
    match text.split_once('n') {
        None => Some((0, number(&text)?)),
        Some((step, offset)) => {
            let step = match step {
                "" | "+" => 1,
                "-" => -1,
                step => number(step)?,
            };
            Some((step, if offset.is_empty() { 0 } else { number(offset)? }))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = "<main id=m><h2>x</h2><p class='a b' lang=en-GB>1</p><p class=b data-k='one two'>2</p>\
        <div><p id=p3>3</p><ul><li>4<li class=a>5<li>6<li>7</ul></div></main><footer><p>8</p></footer>";

    /// The texts of the elements that are selected.
    fn select(selector: &str) -> String {
        let page = Page::parse(PAGE).expect("a page");
        let selected = CssSelector::parse(selector).expect(selector).select(&page);
        let elements = page.descendants(0).filter(|id| selected[*id]);
        elements
            .map(|id| page.descendants(id).filter_map(|id| page.text(id)).collect::<String>())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn elements_are_selected() {
        for (selector, expected) in [
            ("p", "1 2 3 8"),
            ("P.b", "1 2"),
            (".a.b", "1"),
            ("#p3", "3"),
            ("p#p3, li.a ,footer p", "3 5 8"),
            ("main p", "1 2 3"),
            ("main>p", "1 2"),
            ("main > div > p", "3"),
            ("main div *", "3 4567 4 5 6 7"),
            ("h2 + p", "1"),
            ("h2 ~ p", "1 2"),
            ("p ~ div p", "3"),
            ("body main div li", "4 5 6 7"),
            ("div div", ""),
            ("[data-k]", "2"),
            ("p[data-k~=two]", "2"),
            ("[class = \"b\"]", "2"),
            ("[class=B i]", "2"),
            ("[lang|='en']", "1"),
            ("[data-k^=one][data-k$=two][data-k*=' ']", "2"),
            ("[class^='']", ""),
            ("li:first-child", "4"),
            ("li:last-child", "7"),
            ("li:nth-child(2)", "5"),
            ("li:nth-child( odd )", "4 6"),
            ("li:nth-child(2n)", "5 7"),
            ("li:nth-child(-n + 2)", "4 5"),
            ("li:nth-child(n+3)", "6 7"),
            ("li:nth-last-child(2)", "6"),
            ("p:first-of-type", "1 3 8"),
            ("p:nth-of-type(2)", "2"),
            ("main > p:last-of-type", "2"),
            ("p:only-child", "8"),
            ("p:only-of-type", "3 8"),
            ("li:not(.a)", "4 6 7"),
            ("li:not(.a, :first-child):not(:nth-child(4))", "6"),
            (r"#\p3", "3"),
        ] {
            assert_eq!(select(selector), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [
            "",
            " ",
            "div[",
            "div[a",
            "div[a=",
            "div[a=b",
            "a >",
            "> a",
            "..b",
            "a..b",
            "a,",
            ",a",
            "table::before",
            "a:hover",
            "a:nth-child",
            "a:nth-child()",
            "a:nth-child(x)",
            "a:not()",
            "a:not(b c)",
            "a:not(:not(b))",
            "a b)",
            "#",
            "*a",
            "a:has(b)",
            "[a!=b]",
            "[a='b]",
            "a++b",
            "{",
            "a\\",
        ] {
            assert_eq!(CssSelector::parse(wrong), Err(FormatError::Selector(wrong.trim().to_owned())), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z*#.\\[\\]=~^$|:>+, ()n0-9'\"\\\\-]{0,30}|(p|li|:not\\(|:nth-child\\(|-?[0-9]{0,3}n|\\)| |>|\\*){0,9}") {
            if let Ok(selector) = CssSelector::parse(&text) {
                let page = Page::parse(PAGE).expect("a page");
                prop_assert_eq!(selector.select(&page).len(), page.len());
            }
        }
    }
}
