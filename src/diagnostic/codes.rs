//! The kinds of problems, each with its stable name. An entry is the doc comment, the variant and the name.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal,)+) => {
        /// What kind of problem a diagnostic reports. The names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// The kebab-case name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// A file or folder cannot be read.
    UnreadableFile = "unreadable-file",
    /// The text is not well-formed YAML or JSON, or exceeds a limit on size, depth or aliases.
    InvalidSyntax = "invalid-syntax",
    /// The document is well-formed, but not a capability spec.
    NotACapability = "not-a-capability",
    /// The language version is not one this program knows.
    UnsupportedVersion = "unsupported-version",
    /// A field that the language does not have at this place.
    UnknownField = "unknown-field",
    /// A field that must be there is absent.
    MissingField = "missing-field",
    /// A field has a value of the wrong type or outside its set.
    InvalidValue = "invalid-value",
    /// A part of the language that this program does not run.
    UnsupportedFeature = "unsupported-feature",
    /// `call` names a namespace that its document does not consume.
    UnknownNamespace = "unknown-namespace",
    /// `call` names an operation that its namespace does not have.
    UnknownOperation = "unknown-operation",
    /// A document consumes the same namespace twice; the second service is left out.
    DuplicateNamespace = "duplicate-namespace",
    /// Two operations of one namespace have the same name; the first one is called.
    DuplicateOperation = "duplicate-operation",
    /// Two tools have the same name. Where both make the same request they are one; else the second one is offered with
    /// its namespace before its name.
    DuplicateTool = "duplicate-tool",
    /// A tool's name cannot be offered to every client; the nearest name that can is, and both can be called.
    RenamedTool = "renamed-tool",
    /// A tool has no description; one is made from method and path.
    MissingDescription = "missing-description",
    /// A placeholder of the path is not declared as a parameter; it is taken as a required string.
    UndeclaredPathParameter = "undeclared-path-parameter",
    /// A parameter declared `in: path` does not occur in the path.
    UnusedPathParameter = "unused-path-parameter",
    /// An argument of a tool feeds no parameter of its operation, or what feeds a parameter is no argument.
    UnusedArgument = "unused-argument",
    /// Two parameters have the same name and place; the more specific, else the first one counts.
    DuplicateParameter = "duplicate-parameter",
    /// One name is used for parameters in two places; the second becomes an argument of another name.
    RenamedArgument = "renamed-argument",
    /// A body parameter of another name than `body` is a member of the body, not the whole body.
    NamedBodyMember = "named-body-member",
    /// A text in `with` looks like a reference, but is sent as it stands.
    SuspiciousLiteral = "suspicious-literal",
    /// The path cannot be read as a template.
    InvalidPath = "invalid-path",
    /// A schema reference leads nowhere, or outside what may be read.
    UnknownSchema = "unknown-schema",
    /// The referenced schema is not a valid JSON Schema.
    InvalidSchema = "invalid-schema",
    /// The consumed service has no base URL that can be used.
    UnusableBaseUri = "unusable-base-uri",
    /// A base URL sends credentials in clear text to another machine.
    InsecureBaseUri = "insecure-base-uri",
    /// The embedded backend was chosen for a service, but does not serve the operation.
    UnservedOperation = "unserved-operation",
    /// A variable is used that `binds` does not list; it is read from the environment under its own name.
    UnboundVariable = "unbound-variable",
    /// A variable that the spec needs is not set.
    MissingVariable = "missing-variable",
    /// A credential stands in the spec itself, where everyone who reads the file sees it.
    LiteralSecret = "literal-secret",
    /// The hints of a tool contradict what its operation does.
    ContradictoryHints = "contradictory-hints",
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
