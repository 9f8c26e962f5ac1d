//! What a tool may do at worst, in classes that an operator can draw a line between, and how the class of an operation is
//! worked out.
//!
//! Words and shapes alone decide: no rule knows of an API. Must not know who may use what.

mod destroys;
mod grants;
pub(in crate::catalog) mod overriding;
mod runs;
mod safe;
pub(in crate::catalog) mod shapes;
mod words;

use std::{borrow::Cow, fmt, str::FromStr};

use self::{overriding::Meant, words::Words};
use super::{hints::Called, verbs};
use crate::nearest::nearest;

/// What a tool may do at worst. Ordered: who may use tools of a class may use those of the classes below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Risk {
    /// It changes nothing.
    Read,
    /// It adds or changes something.
    Write,
    /// It may take something away or overwrite it for good, shut it down or revoke it.
    Destructive,
    /// It runs commands or code, takes such as will be run, or starts what does.
    Exec,
    /// It makes or renews credentials, or widens what somebody may reach.
    Grant,
}

impl Risk {
    /// All classes, the least one first.
    pub const ALL: [Self; 5] = [Self::Read, Self::Write, Self::Destructive, Self::Exec, Self::Grant];

    /// Its name, as in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::Exec => "exec",
            Self::Grant => "grant",
        }
    }
}

impl Risk {
    /// Whether it takes away, runs or grants something: what cannot be undone, and is told of before it is done.
    pub fn is_grave(self) -> bool {
        self > Self::Write
    }

    /// What a call of this class would do, as in `it would …`.
    pub(super) fn effect(self) -> &'static str {
        match self {
            Self::Read => "change nothing",
            Self::Write => "change something",
            Self::Destructive => "take something away",
            Self::Exec => "run something",
            Self::Grant => "grant something",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Risk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(risk) = Self::ALL.into_iter().find(|risk| risk.name() == text) {
            return Ok(risk);
        }
        let known = Self::ALL.map(|risk| format!("`{risk}`")).join(", ");
        let near = nearest(text, Self::ALL.map(Self::name)).map(|near| format!("; did you mean `{near}`?"));
        Err(format!("`{text}` is no class of risk; expected one of {known}{}", near.unwrap_or_default()))
    }
}

/// The class of a tool, and what it was told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessed {
    /// The class.
    pub class: Risk,
    /// Why, for a person: a few words without a full stop.
    pub reason: Cow<'static, str>,
}

impl Assessed {
    pub(super) fn new(class: Risk, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { class, reason: reason.into() }
    }

    /// The worse of two; of the same class the first.
    #[must_use]
    pub(super) fn worse(self, other: Self) -> Self {
        if other.class > self.class { other } else { self }
    }
}

/// What an operation does, as its words and shapes tell.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// The class and why.
    pub(super) assessed: Assessed,
    /// Whether something is gone or overwritten afterwards, whatever the class.
    pub(super) destroys: bool,
    /// Whether a plain word or the method says so.
    pub(super) is_plain: bool,
    /// Whether a spec that says it only reads may be believed.
    pub(super) may_read: bool,
}

/// Verbs at the end of a path by which a request by POST reads.
const READING: [&str; 14] = [
    "count", "describe", "download", "estimate", "fetch", "find", "get", "list", "lookup", "preview", "read",
    "retrieve", "search", "wait",
];

/// Works the class of an operation out. `description` is what its author says of it.
pub(super) fn assess(called: Called<'_>, shapes: &shapes::Shapes, description: &str) -> Verdict {
    let Called { method, path, operation, tool } = called;
    let words = Words::new(called);
    if is_safe(method) {
        let by = method_of(method);
        return match safe::assessed(&words, shapes) {
            Some(assessed) => {
                let is_plain = assessed.class == Risk::Destructive;
                Verdict { assessed, destroys: is_plain, is_plain, may_read: false }
            }
            None => {
                Verdict { assessed: Assessed::new(Risk::Read, by), destroys: false, is_plain: false, may_read: true }
            }
        };
    }
    let writes = matches!(method, "PUT" | "PATCH" | "DELETE")
        || words.is_graphql()
        || verbs::say_that_it_writes(tool, operation, path);
    // `messages/{id}/read` marks them as read.
    let is_mark = words.action().is_some_and(|action| action.text() == "read");
    let reading = (method == "POST" && !writes && !is_mark).then(|| words.action_in(&READING)).flatten();
    let plainly = destroys::plainly(method, &words);
    let is_plain = plainly.is_some();
    let destroyed = plainly.or_else(|| destroys::otherwise(&words, shapes, description));
    let surely_runs = runs::whatever_is_read(&words, shapes);
    if let (Some(verb), None, None) = (reading, &destroyed, &surely_runs) {
        let reason = format!("`{verb}` at the end of the path");
        return Verdict {
            assessed: Assessed::new(Risk::Read, reason),
            destroys: false,
            is_plain: false,
            may_read: true,
        };
    }
    let granted = grants::reason(method, &words, shapes);
    let destroys = destroyed.is_some() || granted.as_ref().is_some_and(|granted| granted.overwrites);
    let run = surely_runs.or_else(|| runs::reason(method, &words, shapes));
    let (class, reason) = match (granted, run, destroyed) {
        (Some(granted), _, _) => (Risk::Grant, granted.reason.into()),
        (None, Some(reason), _) => (Risk::Exec, reason.into()),
        (None, None, Some(reason)) => (Risk::Destructive, reason.into()),
        (None, None, None) => (Risk::Write, method_of(method)),
    };
    Verdict { assessed: Assessed::new(class, reason), destroys, is_plain, may_read: !writes && class <= Risk::Write }
}

/// The same with the methods that the request means besides its own: what is worst holds.
pub(super) fn assess_sent(called: Called<'_>, shapes: &shapes::Shapes, said: &str, meant: &[Meant]) -> Verdict {
    let mut all = assess(called, shapes, said);
    for meant in meant {
        let verdict = match meant {
            Meant::Fixed { name, method } => {
                let mut verdict = assess(Called { method, ..called }, shapes, said);
                verdict.assessed.reason = format!("{}, by `{name}`", verdict.assessed.reason).into();
                verdict
            }
            Meant::Open { name } => Verdict {
                assessed: Assessed::new(Risk::Destructive, format!("whoever calls it names the method: `{name}`")),
                destroys: true,
                is_plain: true,
                may_read: false,
            },
        };
        all = Verdict {
            assessed: all.assessed.worse(verdict.assessed),
            destroys: all.destroys || verdict.destroys,
            is_plain: all.is_plain || verdict.is_plain,
            may_read: all.may_read && verdict.may_read,
        };
    }
    all
}

/// Whether a method is not to change anything (RFC 9110, section 9.2.1).
pub(super) fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS")
}

fn method_of(method: &str) -> Cow<'static, str> {
    match method {
        "GET" => "the method `GET`".into(),
        "POST" => "the method `POST`".into(),
        "PUT" => "the method `PUT`".into(),
        "PATCH" => "the method `PATCH`".into(),
        other => format!("the method `{other}`").into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{shapes::Shapes, *};

    /// What is said of `METHOD /path operation`, with arguments and an answer of these schemas.
    fn found(request: &str, arguments: &Value, answer: &Value, description: &str) -> Verdict {
        let mut words = request.split(' ');
        let [method, path, operation] = [(); 3].map(|()| words.next().expect("a word"));
        let called = Called { method, path, operation, tool: words.next() };
        let properties = |schema: &Value| json!({ "properties": schema });
        let shapes = Shapes::of_schema(&properties(arguments)).answering(&shapes::credentials(&properties(answer)));
        assess(called, &shapes, description)
    }

    #[test]
    fn words_tell_the_class() {
        use Risk::{Destructive, Exec, Grant, Read, Write};
        for (request, class, reason) in [
            ("GET /pets listPets", Read, "`GET`"),
            ("GET /removed_pets listRemovedPets", Read, "`GET`"),
            ("GET /pets/{id}/delete deletePet", Destructive, "`delete` in the path"),
            ("GET /pets/{id}/delete getDeletion", Read, "`GET`"),
            ("GET /tokens list_tokens", Read, "`GET`"),
            ("GET /pty/{name} connectPty", Exec, "opens a terminal"),
            ("GET /pty/{name} getPty", Read, "`GET`"),
            // By a method that is to change nothing.
            ("HEAD /pets/{id}/run runPet", Exec, "`run` in the path"),
            ("GET /exec execIt", Exec, "`exec` in the path"),
            ("GET /lambda invokeLambda", Exec, "`invoke` in the name"),
            ("GET /builds/{id}/trigger x", Exec, "`trigger` in the path"),
            ("GET /tokens/create createToken", Grant, "`create` of `tokens`"),
            ("GET /keys/rotate rotateKey", Grant, "`rotate` of `keys`"),
            ("GET /keys/new newKey", Grant, "`new` of `keys`"),
            ("GET /account generateApiKey", Grant, "`generate` of `key` in the name"),
            ("GET /users/{id}/promote promoteUser", Grant, "`promote` in the path"),
            ("GET /db/flush flushDb", Destructive, "`flush` in the path"),
            ("GET /db/flush getDbFlush", Destructive, "`flush` in the path"),
            ("GET /db flushDb", Destructive, "`flush` in the name"),
            ("GET /db/drop dropDb", Destructive, "`drop` in the path"),
            ("GET /reset resetAll", Destructive, "`reset` in the path"),
            ("GET /reboot reboot", Destructive, "`reboot` in the path"),
            ("GET /instance/stop stopInstance", Destructive, "`stop` in the path"),
            ("GET /accounts/close closeAccount", Destructive, "`close` in the path"),
            ("GET /items/{id} deleteItem", Destructive, "`delete` in the name"),
            // Nouns that are verbs too, and what tells of a thing that was done.
            ("GET /runs listRuns", Read, "`GET`"),
            ("GET /jobs/{id}/run getJobRun", Read, "`GET`"),
            ("GET /jobs/{id}/run getRun", Read, "`GET`"),
            ("GET /executions/{id} getExecution", Read, "`GET`"),
            ("GET /builds/{id}/stop-reason getStopReason", Read, "`GET`"),
            ("GET /builds/{id}/stop-reason stopReason", Read, "`GET`"),
            ("GET /commands commands", Read, "`GET`"),
            ("GET /deploys/{id} deploy", Read, "`GET`"),
            ("GET /apps/{id}/deploy getDeploy", Read, "`GET`"),
            ("GET /exec/{id}/json ExecInspect", Read, "`GET`"),
            ("GET /stocks/{symbol}/close getClose", Read, "`GET`"),
            ("GET /stop getStop", Read, "`GET`"),
            ("GET /stops StopPoint_GetByMode", Read, "`GET`"),
            ("GET /oauth/refresh_tokens listRefreshTokens", Read, "`GET`"),
            ("GET /keys/{id} getKey", Read, "`GET`"),
            ("GET /issues/create getCreateIssueMetadata", Read, "`GET`"),
            ("GET /cancellations cancelReasons", Read, "`GET`"),
            ("GET /images/{id}/promote promoteImage", Read, "`GET`"),
            ("GET /users/{id}/delete_requests deleteRequests", Read, "`GET`"),
            ("POST /notebook/cells runCell", Write, "`POST`"),
            // Reading by POST, and what only looks so.
            ("POST /pets/search searchPets", Read, "`search`"),
            ("POST /pets/{id}/read_file readPetFile", Read, "`read`"),
            ("POST /pets/{id}/wait_for_status waitForPet", Read, "`wait`"),
            ("POST /runs/{id}/download_logs downloadRunLogs", Read, "`download`"),
            ("POST /lists postLists", Write, "`POST`"),
            ("POST /downloads createDownload", Write, "`POST`"),
            ("POST /messages/{id}/read x", Write, "`POST`"),
            ("POST /pets/search createSearch", Write, "`POST`"),
            ("PUT /pets/search searchPets", Write, "`PUT`"),
            // Taking away.
            ("POST /pets addPet", Write, "`POST`"),
            ("PUT /pets/{id} updatePet", Write, "`PUT`"),
            ("DELETE /pets/{id} x", Destructive, "`DELETE`"),
            ("DELETE /members/{id} x", Destructive, "`DELETE`"),
            ("POST /pets/{id}/delete x", Destructive, "`delete` in the path"),
            ("POST /pets/{delete} x", Write, "`POST`"),
            ("POST /pets/{id} killPet", Destructive, "`kill` in the name"),
            ("POST /pets/{id} x revoke_pet", Destructive, "`revoke` in the name"),
            ("POST /boxes/{id}/suspend x", Destructive, "`suspend` in the path"),
            ("POST /boxes/{id}:stop x", Destructive, "`stop` in the path"),
            ("POST /bus_stops createBusStop", Write, "`POST`"),
            ("POST /dropbox/upload uploadDropbox", Write, "`POST`"),
            // Running.
            ("POST /boxes/{id}/execute_async x", Exec, "`execute` in the path"),
            ("POST /boxes/{id} evalCode", Exec, "`eval` in the name"),
            ("POST /payments/{id}/execute executePayment", Write, "`POST`"),
            ("POST /boxes/{id}/runs createRun", Exec, "starts a run: `runs`"),
            ("POST /reporting/report_runs createReportRun", Write, "`POST`"),
            ("POST /tests/start_run startTestRun", Exec, "starts a run"),
            ("POST /crm/pipelines createPipeline", Write, "`POST`"),
            ("POST /jobs/{id}/retry x", Exec, "`retry` of `jobs`"),
            ("POST /jobs/{id}/archive x", Write, "`POST`"),
            ("POST /runs/{id}/cancel x", Destructive, "`cancel`"),
            ("POST /runs/{id}/send_std_in sendStdIn", Exec, "a running program"),
            ("POST /pty/{name}/control x", Exec, "`pty`"),
            ("POST /terminal/readers createReader", Write, "`POST`"),
            ("POST /db/sql/query sqlQuery", Exec, "`sql` in the path"),
            // Granting.
            ("POST /api-keys createApiKey", Grant, "`api_keys`"),
            ("POST /things createAPIKey", Grant, "`api_key`"),
            ("POST /boxes/{id}/create_ssh_key x", Grant, "`ssh_key`"),
            ("POST /keys/{id}/rotate x", Grant, "`rotate`"),
            ("POST /wheels/{id}/rotate x", Destructive, "`rotate`"),
            ("POST /users/{id}/password/reset x", Grant, "`password`"),
            ("PATCH /api-keys/{id} x", Grant, "changes a credential"),
            ("POST /api-keys/{id}/revoke x", Destructive, "`revoke`"),
            ("POST /boxes/{id}/enable_tunnel x", Grant, "`tunnel`"),
            ("POST /boxes/{id}/remove_tunnel x", Destructive, "`remove`"),
            ("POST /oauth/token exchange", Grant, "`token`"),
            ("POST /oauth2/token/introspect introspect", Write, "`POST`"),
            ("POST /projects/{id}/members addMember", Grant, "`members`"),
            ("POST /projects/{id}/addMembers x", Grant, "`members`"),
            ("POST /projects/{id}/removeMembers x", Destructive, "`remove`"),
            ("POST /teams/{id}/addUser x", Grant, "`add_user`"),
            ("POST /team-member-notes createNote", Write, "`POST`"),
            ("PUT /access_requests/{id}/approve x", Grant, "`access_requests`"),
            ("POST /network-policies createPolicy", Grant, "`network_policies`"),
            ("POST /cookie-policies createPolicy", Write, "`POST`"),
            ("POST /resources:setIamPolicy x", Grant, "`iam_policy`"),
            ("POST /resources:getIamPolicy x", Read, "`get`"),
            ("POST /resources:testIamPermissions x", Write, "`POST`"),
            ("PUT /branches/{name}/unprotect x", Grant, "`unprotect`"),
        ] {
            let verdict = found(request, &json!({}), &json!({}), "");
            let Assessed { class: given, reason: told } = &verdict.assessed;
            assert!(*given == class && told.contains(reason), "{request}: {verdict:?}");
            assert!(!verdict.may_read || class <= Write, "{request}");
            assert!(class != Destructive || verdict.destroys, "{request}");
        }
    }

    #[test]
    fn arguments_and_answers_tell_the_class() {
        use Risk::{Destructive, Exec, Grant, Read, Write};
        let text = json!({"type": "string"});
        let nothing = json!({});
        let token = json!({"auth_token": text, "tunnel_id": text});
        for (request, arguments, answer, class, reason) in [
            (
                "POST /boxes createBox",
                json!({"launch": {"properties": {"launchCommands": {"items": text}}}}),
                &nothing,
                Exec,
                "launch.launchCommands",
            ),
            ("POST /boxes/search searchBoxes", json!({"command": text}), &nothing, Read, "`search`"),
            ("GET /boxes listBoxes", json!({"command": text}), &nothing, Read, "`GET`"),
            ("GET /shell/run getRun", json!({"command": text}), &nothing, Exec, "takes a `command`"),
            ("GET /exec x", json!({"cmd": text}), &nothing, Exec, "takes a `cmd`"),
            ("GET /db/query x", json!({"sql": text}), &nothing, Exec, "takes `sql`"),
            ("GET /db/tables listTables", json!({"sql": text}), &nothing, Exec, "takes `sql`"),
            ("GET /posts getPosts", json!({"transcript": text, "command_id": text}), &nothing, Read, "`GET`"),
            ("GET /player getPlayer", json!({"command": {"enum": ["play", "pause"]}}), &nothing, Read, "`GET`"),
            ("POST /notebook/cells runCell", json!({"code": text}), &nothing, Exec, "takes `code` to `run`"),
            ("POST /coupons addCoupon", json!({"code": text}), &nothing, Write, "`POST`"),
            ("PUT /player play", json!({"command": {"enum": ["play", "pause"]}}), &nothing, Write, "`PUT`"),
            ("POST /films addFilm", json!({"transcript": text, "command_id": text}), &nothing, Write, "`POST`"),
            ("POST /db/query queryDb", json!({"sql": text}), &nothing, Exec, "takes `sql`"),
            ("POST /graphql query", json!({"query": text}), &nothing, Exec, "GraphQL `query`"),
            ("POST /graphql query", json!({"body": {"type": "object"}}), &nothing, Exec, "GraphQL `body`"),
            ("POST /graphql query", json!({"first": {"type": "integer"}}), &nothing, Write, "`POST`"),
            ("POST /things/query queryThings", json!({"query": text}), &nothing, Write, "`POST`"),
            (
                "POST /jobs createJob",
                json!({"spec": {"oneOf": [{"properties": {"agent_configs": {"type": "array"}}}]}}),
                &nothing,
                Exec,
                "agents",
            ),
            ("POST /keys createKey", json!({"scopes": {"type": "array"}}), &nothing, Grant, "`scopes`"),
            ("PUT /users/{id} x", json!({"roles": {"type": "array"}}), &nothing, Grant, "`roles`"),
            ("POST /messages x", json!({"role": text}), &nothing, Write, "`POST`"),
            ("POST /apps x", json!({"redirect_uris": {"type": "array"}}), &nothing, Grant, "lets an application in"),
            ("POST /secrets/{name} updateSecret", json!({"value": text}), &nothing, Destructive, "overwrites"),
            ("POST /secrets/{name}/expiry x", json!({"value": text}), &nothing, Write, "`POST`"),
            ("POST /secrets createSecret", json!({"value": text}), &nothing, Write, "`POST`"),
            // What an answer holds that was not there before.
            ("POST /things addThing", json!({}), &token, Grant, "`auth_token`"),
            ("POST /things addThing", json!({"auth_token": text}), &token, Write, "`POST`"),
            ("POST /things/{id}/update updateThing", json!({}), &token, Write, "`POST`"),
            ("GET /things getThing", json!({}), &token, Read, "`GET`"),
            (
                "POST /things addThing",
                json!({}),
                &json!({"next_page_token": text, "token_count": text, "client_secret": text}),
                Write,
                "`POST`",
            ),
            (
                "POST /things addThing",
                json!({}),
                &json!({"client_id": text, "client_secret": text}),
                Grant,
                "`client_secret`",
            ),
            (
                "POST /things addThing",
                json!({}),
                &json!({"data": {"properties": {"key_secret": text}}}),
                Grant,
                "`key_secret`",
            ),
            ("POST /things addThing", json!({}), &json!({"tunnel": {"properties": token}}), Write, "`POST`"),
            (
                "POST /things addThing",
                json!({"tunnel": {"type": "object"}}),
                &json!({"tunnel": {"properties": token}}),
                Grant,
                "`tunnel.auth_token`",
            ),
            (
                "POST /things addThing",
                json!({"mount": {"properties": {"token": text}}}),
                &json!({"mount": {"properties": {"token": text}}}),
                Write,
                "`POST`",
            ),
        ] {
            let verdict = found(request, &arguments, answer, "");
            let Assessed { class: given, reason: told } = &verdict.assessed;
            assert!(*given == class && told.contains(reason), "{request} {arguments}: {verdict:?}");
        }
    }

    #[test]
    fn a_description_only_makes_it_worse() {
        let said = "Completes a run. Calling it will shutdown the box.";
        let class =
            |request: &str, description: &str| found(request, &json!({}), &json!({}), description).assessed.class;
        assert_eq!(class("POST /runs/{id}/complete x", said), Risk::Destructive);
        assert_eq!(class("POST /runs/{id}/complete x", "This is IRREVERSIBLE."), Risk::Destructive);
        assert_eq!(class("POST /runs/{id}/complete x", "Completes a run."), Risk::Write);
        assert_eq!(class("GET /runs/{id} getRun", said), Risk::Read, "of other calls");
        assert_eq!(class("POST /runs/{id}/delete x", "Only reads."), Risk::Destructive);
    }

    #[test]
    fn a_grant_that_replaces_what_held_before_destroys_too() {
        for (request, destroys) in [
            ("POST /api-keys createApiKey", false),
            ("POST /api-keys/{id}/rotate x", true),
            ("PUT /api-keys/{id} x", true),
            ("POST /members addMember", false),
        ] {
            let verdict = found(request, &json!({}), &json!({}), "");
            assert_eq!((verdict.assessed.class, verdict.destroys), (Risk::Grant, destroys), "{request}");
        }
    }

    #[test]
    fn classes_are_read_by_their_names() {
        for risk in Risk::ALL {
            assert_eq!(risk.to_string().parse(), Ok(risk));
        }
        assert!(Risk::ALL.is_sorted(), "who may use one may use those before it");
        let problem = "reed".parse::<Risk>().unwrap_err();
        assert!(problem.contains("did you mean `read`?"), "{problem}");
    }
}
