//! Several processes that write one log, of which some are killed.

use std::collections::BTreeMap;

use serde_json::json;

use super::lines;
use crate::{
    mcp::{initialize, initialized, request, secret},
    support::{Backend, Keyglass},
};

const PROCESSES: usize = 5;
const CALLS: u64 = 60;

#[tokio::test]
async fn several_processes_write_one_chain_and_killed_ones_harm_nobody() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let config = folder.path().join("keyglass.yaml");
    // So that segments change meanwhile.
    std::fs::write(&config, "audit: {max_bytes: 30000, keep: 1000}\n").unwrap();
    let flags = ["--audit", log.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let mut running = Vec::new();
    for number in 0..PROCESSES {
        let (mut server, mut client) = Keyglass::over_pipes_with(&backend, &flags);
        running.push(tokio::spawn(async move {
            let mut hello = initialize(1);
            hello["params"]["clientInfo"]["name"] = json!(format!("client-{number}"));
            client.ask(&hello).await;
            client.send(&initialized()).await;
            let is_killed = number % 2 == 1;
            for id in 2..CALLS + 2 {
                let params = if id % 10 == 0 {
                    json!({"name": "delete_secret", "arguments": {"name": "A"}})
                } else {
                    secret("A")
                };
                if is_killed && id == CALLS {
                    // With a call under way.
                    client.send(&request(id, "tools/call", &params)).await;
                    server.kill().await;
                    return;
                }
                client.ask(&request(id, "tools/call", &params)).await;
            }
            client.close();
            assert!(server.ended().await.success());
        }));
    }
    for running in running {
        running.await.unwrap();
    }
    // Closes off what a killed one may have left.
    let (mut last, mut client) = Keyglass::over_pipes_with(&backend, &flags);
    client.ask(&initialize(1)).await;
    client.close();
    assert!(last.ended().await.success());
    let report = keyglass::audit::verify(&log).unwrap();
    assert!(report.is_intact() && report.segments > 2, "{report:?}");
    let mut calls: BTreeMap<String, u64> = BTreeMap::new();
    let mut seqs = Vec::new();
    for line in lines(&log) {
        seqs.push(line["seq"].as_u64().unwrap());
        if line["event"] == "call" {
            *calls.entry(line["client"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    assert!(seqs.iter().copied().eq(1..=report.lines));
    for number in 0..PROCESSES {
        let told = calls[&format!("client-{number}")];
        if number % 2 == 0 {
            assert_eq!(told, CALLS, "whoever ends as it should loses nothing");
        } else {
            // The tenth before the last was a deletion, so that all before that was on the disk.
            assert!(told >= CALLS - 13, "{told}");
        }
    }
}
