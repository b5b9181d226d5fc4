//! Both databases have the same tables, columns, keys and indexes; only the names of types differ.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};

use super::{OnPostgres, OnSqlite, World};

/// What is compared of a table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// Name, kind of type, "null" where it may be, by position.
    columns: Vec<(String, String, bool)>,
    key: Vec<String>,
    /// Name, columns, whether unique, whether partial.
    indexes: BTreeSet<(String, Vec<String>, bool, bool)>,
    /// Columns that lead to another table, and which.
    references: BTreeSet<(String, String)>,
}

type Schema = BTreeMap<String, Table>;

async fn of_sqlite() -> Schema {
    let world = World::<OnSqlite>::new().await;
    let mut connection = SqliteConnection::connect(world.file().to_str().unwrap()).await.unwrap();
    let mut schema = Schema::new();
    let columns = sqlx::query(SQLITE_COLUMNS).fetch_all(&mut connection).await.unwrap();
    for row in columns {
        let table: &mut Table = schema.entry(row.get("table")).or_default();
        let name: String = row.get("name");
        let kind = match row.get::<&str, _>("type") {
            "BLOB" => "bytes",
            "TEXT" => "text",
            "INTEGER" => "number",
            "REAL" => "float",
            other => panic!("{other}"),
        };
        // The key of a table with a row id may be null as far as SQLite says, but for STRICT tables with NOT NULL.
        let nullable = row.get::<i64, _>("notnull") == 0 && row.get::<i64, _>("pk") == 0;
        table.columns.push((name, kind.to_owned(), nullable));
    }
    for row in sqlx::query(SQLITE_KEYS).fetch_all(&mut connection).await.unwrap() {
        schema.get_mut(row.get::<&str, _>("table")).unwrap().key.push(row.get("name"));
    }
    for row in sqlx::query(SQLITE_INDEXES).fetch_all(&mut connection).await.unwrap() {
        let columns: String = row.get("columns");
        let columns = columns.split(',').map(str::to_owned).collect();
        schema.get_mut(row.get::<&str, _>("table")).unwrap().indexes.insert((
            row.get("name"),
            columns,
            row.get::<i64, _>("unique") == 1,
            row.get::<i64, _>("partial") == 1,
        ));
    }
    for row in sqlx::query(SQLITE_REFERENCES).fetch_all(&mut connection).await.unwrap() {
        let references = &mut schema.get_mut(row.get::<&str, _>("table")).unwrap().references;
        references.insert((row.get("column"), row.get("to")));
    }
    schema
}

async fn of_postgres() -> Schema {
    let world = World::<OnPostgres>::new().await;
    let mut connection = PgConnection::connect(&world.made.0.url()).await.unwrap();
    let mut schema = Schema::new();
    for row in sqlx::query(POSTGRES_COLUMNS).fetch_all(&mut connection).await.unwrap() {
        let table: &mut Table = schema.entry(row.get("table")).or_default();
        let kind = match row.get::<&str, _>("type") {
            "bytea" | "uuid" => "bytes",
            "text" => "text",
            "bigint" => "number",
            "double precision" => "float",
            other => panic!("{other}"),
        };
        table.columns.push((row.get("name"), kind.to_owned(), row.get("nullable")));
    }
    for row in sqlx::query(POSTGRES_INDEXES).fetch_all(&mut connection).await.unwrap() {
        let columns: Vec<String> = row.get("columns");
        let table = schema.get_mut(row.get::<&str, _>("table")).unwrap();
        if row.get("primary") {
            table.key = columns;
        } else {
            table.indexes.insert((row.get("name"), columns, row.get("unique"), row.get("partial")));
        }
    }
    for row in sqlx::query(POSTGRES_REFERENCES).fetch_all(&mut connection).await.unwrap() {
        let references = &mut schema.get_mut(row.get::<&str, _>("table")).unwrap().references;
        references.insert((row.get("column"), row.get("to")));
    }
    schema
}

#[tokio::test]
async fn both_databases_have_the_same_schema() {
    let (sqlite, postgres) = tokio::join!(of_sqlite(), of_postgres());
    assert!(sqlite.len() >= 15, "{sqlite:?}");
    let names = |schema: &Schema| schema.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&sqlite), names(&postgres));
    for (name, table) in &sqlite {
        assert_eq!(table, &postgres[name], "{name}");
    }
}

const SQLITE_COLUMNS: &str = r#"SELECT t.name AS "table", c.name, c.type, c."notnull", c.pk FROM sqlite_schema t, pragma_table_info(t.name) c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations' ORDER BY t.name, c.cid"#;
const SQLITE_KEYS: &str = r#"SELECT t.name AS "table", c.name FROM sqlite_schema t, pragma_table_info(t.name) c
WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '_sqlx_migrations' AND c.pk > 0 ORDER BY t.name, c.pk"#;
const SQLITE_INDEXES: &str = r#"SELECT t.name AS "table", l.name, l."unique", l.partial,
(SELECT group_concat(i.name ORDER BY i.seqno) FROM pragma_index_info(l.name) i) AS columns
FROM sqlite_schema t, pragma_index_list(t.name) l WHERE t.type = 'table' AND l.origin = 'c'"#;
const SQLITE_REFERENCES: &str = r#"SELECT t.name AS "table", f."from" AS "column", f."table" AS "to"
FROM sqlite_schema t, pragma_foreign_key_list(t.name) f WHERE t.type = 'table'"#;

const POSTGRES_COLUMNS: &str = r#"SELECT c.table_name::text AS "table", c.column_name::text AS name, c.data_type::text AS type, c.is_nullable = 'YES' AS nullable
FROM information_schema.columns c WHERE c.table_schema = 'public' AND c.table_name <> '_sqlx_migrations' ORDER BY c.table_name, c.ordinal_position"#;
const POSTGRES_INDEXES: &str = r#"SELECT t.relname::text AS "table", i.relname::text AS name, x.indisunique AS "unique", x.indisprimary AS "primary",
x.indpred IS NOT NULL AS partial,
ARRAY(SELECT a.attname::text FROM unnest(x.indkey) WITH ORDINALITY k (n, o) JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.n ORDER BY k.o) AS columns
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> '_sqlx_migrations'"#;
const POSTGRES_REFERENCES: &str = r#"SELECT c.conrelid::regclass::text AS "table", a.attname::text AS "column", c.confrelid::regclass::text AS "to"
FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey) WHERE c.contype = 'f'"#;
