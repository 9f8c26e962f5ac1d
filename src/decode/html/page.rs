//! A page as a tree of elements and texts. The only file that names the HTML parser.
//!
//! Nodes lie in one list and know each other by their place in it, so no depth of a page costs stack.

use std::{borrow::Cow, cell::RefCell, rc::Rc};

use html5ever::{
    Attribute, LocalName, QualName,
    interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink},
    tendril::StrTendril,
};

use super::{EXPECTED, tags::Feed};
use crate::decode::DecodeError;

/// As in browsers.
const MAX_DEPTH: usize = 512;
const MAX_NODES: usize = 500_000;
/// How many attributes an element is given; what the parser adds to one later is looked for among those it has.
pub(super) const MAX_ATTRIBUTES: usize = 1_000;

/// The place of a node in a page.
pub(super) type NodeId = usize;

/// A page.
pub(super) struct Page {
    nodes: Vec<Node>,
}

/// A node of a page.
#[derive(Default)]
struct Node {
    parent: Option<NodeId>,
    children: Vec<NodeId>,
    content: Content,
}

#[derive(Default)]
enum Content {
    /// The document itself, comments and the like.
    #[default]
    Other,
    Element(Element),
    Text(String),
}

/// An element without what it holds.
pub(super) struct Element {
    name: LocalName,
    attributes: Vec<(LocalName, StrTendril)>,
}

impl Element {
    /// The name, in lower case.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The value of an attribute, whose name is in lower case.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }
}

impl Page {
    /// Parses a page, part by part, so that its size and depth are known before they cost much: elements that are not
    /// closed make the parser repeat them without end.
    pub(super) fn parse(text: &str) -> Result<Self, DecodeError> {
        let mut feed = Feed::new(Sink { nodes: RefCell::new(vec![Node::default()]) });
        let mut seen = 0;
        let mut rest = text;
        while !rest.is_empty() {
            rest = feed.next(rest);
            if feed.attributes() > MAX_ATTRIBUTES {
                let reason = format!("an element has more than {MAX_ATTRIBUTES} attributes");
                return Err(DecodeError::new(EXPECTED, reason));
            }
            let nodes = feed.sink().nodes.borrow();
            if nodes.len() > MAX_NODES {
                return Err(DecodeError::new(EXPECTED, format!("it has more than {MAX_NODES} elements")));
            }
            if nodes.len() > seen && depth(&nodes, nodes.len() - 1) >= MAX_DEPTH {
                return Err(DecodeError::new(EXPECTED, format!("its elements are more than {MAX_DEPTH} levels deep")));
            }
            seen = nodes.len();
        }
        Ok(feed.finish())
    }

    /// How many nodes the page has; a node's place is below.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The element at a place; `None` for texts.
    pub(super) fn element(&self, id: NodeId) -> Option<&Element> {
        match &self.nodes.get(id)?.content {
            Content::Element(element) => Some(element),
            Content::Text(_) | Content::Other => None,
        }
    }

    /// The text at a place; `None` for elements.
    pub(super) fn text(&self, id: NodeId) -> Option<&str> {
        match &self.nodes.get(id)?.content {
            Content::Text(text) => Some(text),
            Content::Element(_) | Content::Other => None,
        }
    }

    /// What holds a node.
    pub(super) fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.nodes.get(id)?.parent
    }

    /// The elements right below a node, in their order.
    pub(super) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let children = self.nodes.get(id).map(|node| node.children.as_slice()).unwrap_or_default();
        children.iter().copied().filter(|child| self.element(*child).is_some())
    }

    /// A node and all below it, in the order of the page.
    pub(super) fn descendants(&self, id: NodeId) -> impl Iterator<Item = NodeId> {
        let mut stack = vec![id];
        std::iter::from_fn(move || {
            let next = stack.pop()?;
            stack.extend(self.nodes.get(next).into_iter().flat_map(|node| node.children.iter().rev()));
            Some(next)
        })
    }
}

/// How many nodes hold a node, counted no further than the limit.
fn depth(nodes: &[Node], id: NodeId) -> usize {
    std::iter::successors(Some(id), |id| nodes.get(*id)?.parent).skip(1).take(MAX_DEPTH).count()
}

/// What the parser writes to.
pub(super) struct Sink {
    nodes: RefCell<Vec<Node>>,
}

/// A node as the parser knows it. The name travels with it, since the list cannot lend it.
#[derive(Clone)]
pub(super) struct Handle {
    id: NodeId,
    name: Rc<QualName>,
}

impl Sink {
    fn create(&self, content: Content, name: QualName) -> Handle {
        let mut nodes = self.nodes.borrow_mut();
        nodes.push(Node { content, ..Node::default() });
        Handle { id: nodes.len() - 1, name: Rc::new(name) }
    }

    /// Puts something before the child of a parent, or at the end.
    fn insert(&self, parent: NodeId, before: Option<NodeId>, child: NodeOrText<Handle>) {
        let child = match child {
            NodeOrText::AppendNode(child) => child.id,
            NodeOrText::AppendText(text) if self.extend_text(parent, before, &text) => return,
            NodeOrText::AppendText(text) => self.create(Content::Text(text.into()), no_name()).id,
        };
        self.detach(child);
        let mut nodes = self.nodes.borrow_mut();
        if let Some(node) = nodes.get_mut(parent) {
            let index = place(&node.children, before);
            node.children.insert(index, child);
        }
        if let Some(node) = nodes.get_mut(child) {
            node.parent = Some(parent);
        }
    }

    /// Adds a text to the one that it would follow.
    fn extend_text(&self, parent: NodeId, before: Option<NodeId>, text: &str) -> bool {
        let mut nodes = self.nodes.borrow_mut();
        let neighbour = nodes.get(parent).and_then(|node| {
            let index = place(&node.children, before);
            node.children.get(index.checked_sub(1)?).copied()
        });
        match neighbour.and_then(|id| nodes.get_mut(id)) {
            Some(Node { content: Content::Text(known), .. }) => {
                known.push_str(text);
                true
            }
            _ => false,
        }
    }

    fn detach(&self, id: NodeId) {
        let mut nodes = self.nodes.borrow_mut();
        let parent = nodes.get_mut(id).and_then(|node| node.parent.take());
        if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent))
            && let Some(index) = parent.children.iter().rposition(|child| *child == id)
        {
            parent.children.remove(index);
        }
    }
}

/// Where among children something is put: before one of them, else at the end. What is looked for is near the end.
fn place(children: &[NodeId], before: Option<NodeId>) -> usize {
    before.and_then(|before| children.iter().rposition(|child| *child == before)).unwrap_or(children.len())
}

fn no_name() -> QualName {
    QualName::new(None, html5ever::Namespace::default(), LocalName::default())
}

impl TreeSink for Sink {
    type Handle = Handle;
    type Output = Page;
    type ElemName<'a> = &'a QualName;

    fn finish(self) -> Page {
        Page { nodes: self.nodes.into_inner() }
    }

    fn parse_error(&self, _message: Cow<'static, str>) {}

    fn set_quirks_mode(&self, _mode: QuirksMode) {}

    fn get_document(&self) -> Handle {
        Handle { id: 0, name: Rc::new(no_name()) }
    }

    fn elem_name<'a>(&'a self, target: &'a Handle) -> &'a QualName {
        &target.name
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _flags: ElementFlags) -> Handle {
        let attributes = attributes.into_iter().map(|attribute| (attribute.name.local, attribute.value)).collect();
        self.create(Content::Element(Element { name: name.local.clone(), attributes }), name)
    }

    fn create_comment(&self, _text: StrTendril) -> Handle {
        self.create(Content::Other, no_name())
    }

    fn create_pi(&self, _target: StrTendril, _data: StrTendril) -> Handle {
        self.create(Content::Other, no_name())
    }

    fn append(&self, parent: &Handle, child: NodeOrText<Handle>) {
        self.insert(parent.id, None, child);
    }

    fn append_based_on_parent_node(&self, element: &Handle, previous: &Handle, child: NodeOrText<Handle>) {
        let has_parent = self.nodes.borrow().get(element.id).is_some_and(|node| node.parent.is_some());
        if has_parent { self.append_before_sibling(element, child) } else { self.append(previous, child) }
    }

    fn append_doctype_to_document(&self, _name: StrTendril, _public: StrTendril, _system: StrTendril) {}

    fn get_template_contents(&self, target: &Handle) -> Handle {
        target.clone()
    }

    fn same_node(&self, one: &Handle, other: &Handle) -> bool {
        one.id == other.id
    }

    fn append_before_sibling(&self, sibling: &Handle, child: NodeOrText<Handle>) {
        let parent = self.nodes.borrow().get(sibling.id).and_then(|node| node.parent);
        if let Some(parent) = parent {
            self.insert(parent, Some(sibling.id), child);
        }
    }

    fn add_attrs_if_missing(&self, target: &Handle, attributes: Vec<Attribute>) {
        if let Some(Node { content: Content::Element(element), .. }) = self.nodes.borrow_mut().get_mut(target.id) {
            for attribute in attributes {
                if element.attributes.len() < MAX_ATTRIBUTES && element.attribute(&attribute.name.local).is_none() {
                    element.attributes.push((attribute.name.local, attribute.value));
                }
            }
        }
    }

    fn remove_from_parent(&self, target: &Handle) {
        self.detach(target.id);
    }

    fn reparent_children(&self, node: &Handle, new_parent: &Handle) {
        let mut nodes = self.nodes.borrow_mut();
        let children = nodes.get_mut(node.id).map(|node| std::mem::take(&mut node.children)).unwrap_or_default();
        for child in &children {
            if let Some(child) = nodes.get_mut(*child) {
                child.parent = Some(new_parent.id);
            }
        }
        if let Some(parent) = nodes.get_mut(new_parent.id) {
            parent.children.extend(children);
        }
    }
}
