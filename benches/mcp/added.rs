//! By how much a call of this build takes longer than one of another build.
//!
//! A machine that does other things beside is now slower and now faster, for seconds on end, and by more than is looked for
//! here. So both have short turns, one right after the other and each first in every second round, and what counts is the
//! difference between two turns that follow each other.
//!
//! Where client, server and backend run on several processors, waking one up costs more than all else of a call, on virtual
//! machines several times as much, and by chance more or less. Bound to one processor, as by `taskset -c 0` before the
//! command once all is built, everything that is done for a call shows in how long it takes, what threads beside it do among it.

use std::{fmt::Write as _, path::Path, time::Instant};

use serde_json::{Value, json};

use super::{
    KEYGLASS, LISTENS,
    clients::{StdioClient, modern, posted},
    measure::{Client, Failure, Server, micros, middle, quantile},
    program,
};

const ROUNDS: usize = 150;
/// Calls of one turn, and those before it that are not counted: what the other build left in caches is none of its own.
const CALLS: usize = 200;
const WARM_UP: usize = 20;

/// One way to a build.
enum Way {
    Http(Client, Vec<u8>),
    Stdio(Box<StdioClient>, Value),
}

impl Way {
    async fn ask(&mut self) -> Result<String, Failure> {
        match self {
            Self::Http(client, request) => Ok(String::from_utf8(client.ask(request).await?)?),
            Self::Stdio(client, message) => client.ask(message).await,
        }
    }

    /// The median of one turn, in microseconds.
    async fn turn(&mut self) -> Result<f64, Failure> {
        let mut times = Vec::with_capacity(CALLS);
        for number in 0..WARM_UP + CALLS {
            let before = Instant::now();
            let answer = self.ask().await?;
            let took = before.elapsed();
            if !answer.contains("a thing") {
                return Err(format!("not the item: {answer}").into());
            }
            if number >= WARM_UP {
                times.push(took);
            }
        }
        Ok(micros(quantile(&mut times, 0.5)))
    }
}

/// Tells the difference over both transports.
pub(crate) async fn added(folder: &Path, beside: &str, report: &mut String) -> Result<(), Failure> {
    writeln!(report, "One call beside one of another build, {ROUNDS} rounds of {CALLS} calls each in turn:")?;
    let item = modern("get_item", &json!({"id": "abc"}));
    for transport in ["stdio", "HTTP"] {
        let (mut ways, mut servers) = (Vec::new(), Vec::new());
        for (number, build) in [KEYGLASS, beside].into_iter().enumerate() {
            let data = format!("added-{transport}-{number}");
            let command = |arguments: &[&str]| program(build.as_ref(), folder, &data, arguments, true);
            ways.push(if transport == "stdio" {
                Way::Stdio(Box::new(StdioClient::start(command(&[])).await?), item.clone())
            } else {
                let server = Server::start(command(&["--http", "127.0.0.1:0"]), LISTENS).await?;
                let client = Client::open(&server.address).await?;
                servers.push(server);
                Way::Http(client, posted("get_item", &item))
            });
        }
        let [own, other] = ways.as_mut_slice() else { return Err("two builds".into()) };
        let (mut owns, mut others, mut differences) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let (took, took_other) = if round % 2 == 0 {
                let took = own.turn().await?;
                (took, other.turn().await?)
            } else {
                let took_other = other.turn().await?;
                (own.turn().await?, took_other)
            };
            owns.push(took);
            others.push(took_other);
            differences.push(took - took_other);
        }
        let (took, took_other, middle_difference) = (middle(&mut owns), middle(&mut others), middle(&mut differences));
        // They are in order by now.
        let quarter = |part: usize| differences.get(differences.len() * part / 4).copied().unwrap_or_default();
        writeln!(
            report,
            "  {transport:<5}  p50 {took:>5.0} us, of the other {took_other:>5.0} us; the difference: median {middle_difference:+.1} us, \
             half of the rounds between {:+.1} and {:+.1}",
            quarter(1),
            quarter(3),
        )?;
    }
    Ok(())
}
