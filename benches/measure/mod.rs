//! What measurements over HTTP have in common: processes that listen, a client that costs next to nothing, and numbers
//! made of what was seen. Knows nothing of what is asked.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How often each measurement is repeated, in turn with the others.
pub(crate) const ROUNDS: usize = 7;
/// How long one measurement of a round takes.
pub(crate) const SPAN: Duration = Duration::from_millis(700);

/// What came of one measurement, or of several.
#[derive(Default)]
pub(crate) struct Sample {
    pub(crate) rates: Vec<f64>,
    /// In microseconds, of a round each.
    pub(crate) p50s: Vec<f64>,
    pub(crate) p99s: Vec<f64>,
    /// Processor time of the server for a request, in microseconds.
    pub(crate) costs: Vec<f64>,
}

impl Sample {
    /// Notes one measurement.
    pub(crate) fn add(&mut self, times: &mut [Duration], elapsed: Duration, spent: f64) {
        self.rates.push(times.len() as f64 / elapsed.as_secs_f64());
        self.costs.push(spent * 1e6 / times.len() as f64);
        self.p50s.push(micros(quantile(times, 0.5)));
        self.p99s.push(micros(quantile(times, 0.99)));
    }

    pub(crate) fn rate(&mut self) -> f64 {
        middle(&mut self.rates)
    }

    pub(crate) fn line(&mut self, name: &str) -> String {
        let [p50, p99, cost] = [&mut self.p50s, &mut self.p99s, &mut self.costs].map(|values| middle(values));
        format!(
            "{name:<28}{:>9.0}/s   p50 {p50:>7.0} us   p99 {p99:>7.0} us   server {cost:>5.1} us/request",
            self.rate()
        )
    }
}

/// A process that listens.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Server {
    /// Starts a program that says where it listens, after these words.
    pub(crate) async fn start(mut command: Command, words: &str) -> Result<Self, Failure> {
        let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some((_, rest)) = line.split_once(words) {
                let address = rest.split_whitespace().next().unwrap_or_default().trim_start_matches("http://");
                let address = address.split('/').next().unwrap_or_default().to_owned();
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self { child, address });
            }
        }
        Err("the program ended before it listened".into())
    }

    /// Sends requests over so many connections, each the next as soon as it has the answer.
    pub(crate) async fn load(
        &self,
        connections: usize,
        mut requests: impl FnMut() -> Vec<u8>,
        sample: &mut Sample,
    ) -> Result<(), Failure> {
        let mut clients = Vec::new();
        for _ in 0..connections {
            clients.push(Client::open(&self.address).await?);
        }
        // Requests are written out beforehand: what it costs to make them is not to be measured.
        let most = if connections == 1 { 24_000 } else { 64_000 / connections };
        let queues: Vec<Vec<Vec<u8>>> = clients.iter().map(|_| (0..most).map(|_| requests()).collect()).collect();
        let before = self.processor_time();
        let begun = Instant::now();
        let tasks: Vec<_> = clients
            .into_iter()
            .zip(queues)
            .map(|(mut client, queue)| {
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    for request in queue {
                        if begun.elapsed() >= SPAN {
                            break;
                        }
                        let before = Instant::now();
                        client.ask(&request).await?;
                        times.push(before.elapsed());
                    }
                    Ok::<_, Failure>(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.append(&mut task.await??);
        }
        let (elapsed, spent) = (begun.elapsed(), self.processor_time() - before);
        sample.add(&mut times, elapsed, spent);
        Ok(())
    }

    pub(crate) fn processor_time(&self) -> f64 {
        processor_time(&self.child)
    }

    pub(crate) fn memory(&self) -> u64 {
        memory(&self.child)
    }
}

/// Processor time of a process so far in seconds, from `/proc`, which counts hundredths; 0 where the platform does not
/// tell.
pub(crate) fn processor_time(child: &Child) -> f64 {
    let id = child.id().unwrap_or_default();
    let text = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Resident memory of a process in KiB; 0 where the platform does not tell.
pub(crate) fn memory(child: &Child) -> u64 {
    let id = child.id().unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse().unwrap_or(0)
}

/// One connection of HTTP/1.1. It does no more than find where an answer ends: a client's own cost would stand in every
/// figure.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn open(address: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1024) })
    }

    /// Sends a request; gives the answer's body. Error: a status other than 200.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, Failure> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the connection ended".into());
            }
            let Some(head) = find(&self.buffer, b"\r\n\r\n") else { continue };
            let (head, body) = self.buffer.split_at(head + 4);
            let length = find(head, b"content-length: ").and_then(|at| head.get(at + 16..)).unwrap_or_default();
            let length: usize = String::from_utf8_lossy(length.split(|byte| *byte == b'\r').next().unwrap_or_default())
                .parse()
                .map_err(|_| "an answer without a length")?;
            if body.len() < length {
                continue;
            }
            if !head.starts_with(b"HTTP/1.1 200") {
                return Err(String::from_utf8_lossy(&self.buffer).into_owned().into());
            }
            return Ok(body.to_vec());
        }
    }
}

pub(crate) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

pub(crate) fn quantile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    times.get((times.len() as f64 * part) as usize).copied().unwrap_or_default()
}

pub(crate) fn middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
