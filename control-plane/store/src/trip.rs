//! What is sent to the database in one go. Between two answers that somebody needs, a transaction's steps travel together: each trip to the
//! server, or to the thread that owns the file, costs more than most statements.
//!
//! SQLite takes the texts one after the other with all their parameters. PostgreSQL takes one query of several commands, which has no
//! parameters: a statement is prepared under a name once, and executed with its values written out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;

use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Either, Executor as _, PgConnection, Row as _, SqliteConnection};

use crate::connection::TransactionId;
use crate::database::Kind;
use crate::dialect;
use crate::row::{self, Row};
use crate::statement::{self, Parameter, Statement};

/// One of the things that are sent together. What comes after one that fails is not done.
#[derive(Debug)]
pub(crate) enum Step {
    /// A step of the transaction itself.
    Command(&'static str),
    /// The query for the transaction's number.
    Number(&'static str),
    Statement(Statement),
}

/// What the database said.
#[derive(Default)]
pub(crate) struct Answer {
    /// The rows of all steps.
    pub(crate) rows: Vec<Row>,
    /// Where among them those of the last step begin.
    pub(crate) last: usize,
    /// Where those of the next step will.
    next: usize,
    /// How many rows the last step changed.
    pub(crate) changed: u64,
    /// The transaction's number, where it was told; also where a later step failed.
    pub(crate) transaction: Option<TransactionId>,
}

/// The statements that a server's connection has prepared, by their text.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    names: HashMap<&'static str, u64>,
    /// The number of the latest name. A name is never given twice.
    latest: u64,
}

impl Answer {
    const fn step_done(&mut self, changed: u64) {
        self.changed = changed;
        self.last = self.next;
        self.next = self.rows.len();
    }
}

/// Sends steps to SQLite.
pub(crate) async fn to_sqlite(connection: &mut SqliteConnection, steps: Vec<Step>, answer: &mut Answer) -> Result<(), sqlx::Error> {
    let (text, parameters) = one_after_the_other(steps);
    let query = statement::bind_sqlite(sqlx::query(AssertSqlSafe(text)), parameters);
    let mut answers = connection.fetch_many(query);
    while let Some(one) = answers.try_next().await? {
        match one {
            Either::Left(done) => answer.step_done(done.rows_affected()),
            Either::Right(row) => answer.rows.push(Row::Sqlite(row)),
        }
    }
    Ok(())
}

/// Sends steps to PostgreSQL.
pub(crate) async fn to_postgres(connection: &mut PgConnection, prepared: &mut Prepared, steps: Vec<Step>, answer: &mut Answer) -> Result<(), sqlx::Error> {
    let query = Query::of(steps, prepared);
    let mut done = 0;
    let result = receive(connection, &query, &mut done, answer).await;
    // What the server did not come to prepare has no name there.
    for (text, command) in query.new {
        if command >= done {
            prepared.names.remove(text);
        }
    }
    result
}

async fn receive(connection: &mut PgConnection, query: &Query, done: &mut usize, answer: &mut Answer) -> Result<(), sqlx::Error> {
    let mut answers = connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(query.text.clone())));
    while let Some(one) = answers.try_next().await? {
        match one {
            Either::Left(command) => {
                answer.step_done(command.rows_affected());
                *done += 1;
            }
            Either::Right(row) if query.number == Some(*done) => answer.transaction = Some(TransactionId(row.try_get(0)?)),
            Either::Right(row) => answer.rows.push(Row::Postgres(row)),
        }
    }
    Ok(())
}

/// The texts of all steps, and their parameters, numbered through.
fn one_after_the_other(steps: Vec<Step>) -> (String, Vec<Parameter>) {
    let (mut all, mut parameters) = (String::new(), Vec::new());
    for step in steps {
        if !all.is_empty() {
            all.push_str("; ");
        }
        match step {
            Step::Command(text) | Step::Number(text) => all.push_str(text),
            Step::Statement(statement) => {
                let (text, own) = statement.into_parts();
                push_renumbered(&mut all, dialect::render(text, Kind::Sqlite), parameters.len());
                parameters.extend(own);
            }
        }
    }
    (all, parameters)
}

/// Appends a text whose `$1` is parameter `before + 1`.
fn push_renumbered(all: &mut String, text: &str, before: usize) {
    if before == 0 {
        return all.push_str(text);
    }
    let mut pieces = text.split('$');
    all.extend(pieces.next());
    for piece in pieces {
        let digits = piece.len() - piece.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let (number, rest) = piece.split_at(digits);
        all.push('$');
        match number.parse::<usize>() {
            // Writing to a string does not fail.
            Ok(number) => drop(write!(all, "{}", number + before)),
            Err(_no_parameter) => all.push_str(number),
        }
        all.push_str(rest);
    }
}

/// A query of several commands.
#[derive(Debug, Default)]
struct Query {
    text: String,
    commands: usize,
    /// The command that asks for the transaction's number.
    number: Option<usize>,
    /// What is prepared in it, and by which command.
    new: Vec<(&'static str, usize)>,
}

impl Query {
    fn of(steps: Vec<Step>, prepared: &mut Prepared) -> Self {
        let mut query = Self::default();
        for step in steps {
            match step {
                Step::Command(text) => query.command(text),
                Step::Number(text) => {
                    query.number = Some(query.commands);
                    query.command(text);
                }
                Step::Statement(statement) => {
                    let (text, parameters) = statement.into_parts();
                    query.execute(text, &parameters, prepared);
                }
            }
        }
        query
    }

    fn command(&mut self, text: &str) {
        if self.commands > 0 {
            self.text.push_str("; ");
        }
        self.text.push_str(text);
        self.commands += 1;
    }

    fn execute(&mut self, text: &'static str, parameters: &[Parameter], prepared: &mut Prepared) {
        let name = match prepared.names.entry(text) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                prepared.latest += 1;
                new.insert(prepared.latest);
                self.new.push((text, self.commands));
                let types = in_brackets(parameters, |all, parameter| all.push_str(type_of(parameter)));
                self.command(&format!("PREPARE go_{}{types} AS {}", prepared.latest, dialect::render(text, Kind::Postgres)));
                prepared.latest
            }
        };
        self.command(&format!("EXECUTE go_{name}"));
        self.text.push_str(&in_brackets(parameters, push_literal));
    }
}

fn in_brackets(parameters: &[Parameter], push: fn(&mut String, &Parameter)) -> String {
    let mut all = String::new();
    for (index, parameter) in parameters.iter().enumerate() {
        all.push(if index == 0 { '(' } else { ',' });
        push(&mut all, parameter);
    }
    if !parameters.is_empty() {
        all.push(')');
    }
    all
}

const fn type_of(parameter: &Parameter) -> &'static str {
    match parameter {
        Parameter::Uuid(_) => "uuid",
        Parameter::Text(_) => "text",
        Parameter::Bytes(_) => "bytea",
        Parameter::Number(_) => "bigint",
    }
}

/// Writes a value out. In a literal between quotes nothing but a quote ends it: `standard_conforming_strings` is on in every session that writes.
fn push_literal(all: &mut String, parameter: &Parameter) {
    match parameter {
        Parameter::Uuid(Some(value)) => drop(write!(all, "'{value}'")),
        Parameter::Text(Some(value)) => {
            all.push('\'');
            for (index, piece) in statement::without_nul(value).split('\'').enumerate() {
                if index > 0 {
                    all.push_str("''");
                }
                all.push_str(piece);
            }
            all.push('\'');
        }
        Parameter::Bytes(Some(value)) => all.extend(["'\\x", &row::hexadecimal(value), "'"]),
        Parameter::Number(Some(value)) => drop(write!(all, "{value}")),
        Parameter::Uuid(None) | Parameter::Text(None) | Parameter::Bytes(None) | Parameter::Number(None) => all.push_str("NULL"),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn parameters_are_numbered_through_and_other_dollars_stay() {
        let steps = vec![
            Step::Command("SAVEPOINT operation"),
            Step::Statement(Statement::own("SELECT $2, $1").bind(1_i64).bind(2_i64)),
            Step::Statement(Statement::own("SELECT '$.a', $1, $12").bind(3_i64)),
        ];
        let (text, parameters) = one_after_the_other(steps);
        assert_eq!(text, "SAVEPOINT operation; SELECT $2, $1; SELECT '$.a', $3, $14");
        assert_eq!(parameters.len(), 3);
    }

    #[test]
    fn a_statement_is_prepared_once_and_its_values_are_written_out() {
        let mut prepared = Prepared::default();
        let statement = || {
            Step::Statement(
                Statement::own("SELECT $1, $2, $3, $4, $5")
                    .bind(Uuid::nil())
                    .bind("it's; DROP TABLE job --\\".to_owned())
                    .bind(vec![0_u8, 255])
                    .bind(i64::MIN)
                    .bind(None::<String>),
            )
        };
        let query = Query::of(vec![Step::Command("BEGIN"), Step::Number("SELECT 7"), statement(), statement()], &mut prepared);
        let executed = "EXECUTE go_1('00000000-0000-0000-0000-000000000000','it''s; DROP TABLE job --\\','\\x00ff',-9223372036854775808,NULL)";
        assert_eq!(
            query.text,
            format!("BEGIN; SELECT 7; PREPARE go_1(uuid,text,bytea,bigint,text) AS SELECT $1, $2, $3, $4, $5; {executed}; {executed}")
        );
        assert_eq!((query.number, query.commands), (Some(1), 5));
        assert_eq!(query.new, [("SELECT $1, $2, $3, $4, $5", 2)]);
        let again = Query::of(vec![statement()], &mut prepared);
        assert_eq!(again.text, executed);
    }
}
