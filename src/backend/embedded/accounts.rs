//! The account: there is one, made with the database.
//!
//! Source: the published clients' `AccountView`; calling it is their way to ask whether a key works.

use axum::{extract::State, response::Response, routing::get};
use http::StatusCode;
use rusqlite::{Connection, params};
use serde::Serialize;

use super::{
    Embedded,
    answer::{secret_answer, to_json},
    auth::AccountReader,
    error::ApiError,
    ids,
    route::Route,
    store::StoreError,
    times,
};

/// The operation.
pub(super) const ROUTES: &[Route] = &[Route::get("/v1/accounts/me", || get(me))];

/// The published answer with its required members. Status, tier and billing are fixed: nothing here depends on them.
#[derive(Serialize)]
struct AccountView {
    id: String,
    name: String,
    account_status: &'static str,
    tier: &'static str,
    created_at: String,
    billing: BillingView,
}

#[derive(Serialize)]
struct BillingView {
    account_billing_type: &'static str,
}

/// `GET /v1/accounts/me`.
async fn me(State(backend): State<Embedded>, AccountReader(caller): AccountReader) -> Result<Response, ApiError> {
    let view = backend
        .store()
        .read(move |transaction| {
            let sql = "SELECT id, name, create_time_ms FROM accounts WHERE id = ?1";
            Ok(transaction.query_row(sql, [caller.account_id()], |row| {
                Ok(AccountView {
                    id: row.get(0)?,
                    name: row.get(1)?,
                    account_status: "ACCOUNT_STATUS_ENABLED",
                    tier: "ACCOUNT_TIER_BASIC",
                    // the one time that is a text in this API
                    created_at: times::to_text(row.get(2)?),
                    billing: BillingView { account_billing_type: "UNRECOGNIZED" },
                })
            })?)
        })
        .await?;
    Ok(secret_answer(StatusCode::OK, &to_json(&view)?))
}

/// The id of the account, which is made where there is none. Error: [`StoreError::Damaged`] where there are several, or
/// none but keys of one.
pub(super) fn ensure(connection: &Connection, now_ms: i64) -> Result<String, StoreError> {
    let find = "SELECT (SELECT id FROM accounts), (SELECT count(*) FROM accounts), EXISTS (SELECT 1 FROM keys)";
    match connection.query_row(find, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
        (Some(id), 1_i64, _) => return Ok(id),
        (None, 0, false) => {}
        _ => return Err(StoreError::Damaged("accounts")),
    }
    let id = ids::next(connection, "acct", now_ms)?;
    connection
        .execute("INSERT INTO accounts (id, name, create_time_ms) VALUES (?1, 'keyglass', ?2)", params![id, now_ms])?;
    Ok(id)
}
