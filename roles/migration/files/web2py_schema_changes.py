"""What web2py_migrate does to a schema: which changes are made, how, and which are refused.

While a migration runs, and until the last instance of the old version is gone, two versions of the application use the
same tables. So by default a schema only grows ("expand"), and what nobody uses any more is removed later, by a run that
is told so ("contract"). All of it is one transaction on each database.
"""

import dataclasses
import pickle
import re

import psycopg2.errors
import psycopg2.extensions
from pydal.helpers.classes import SQLCustomType
from pydal.migrator import InDBMigrator

# The history of the tables, and a log of the statements, are rows of this table of pydal's.
HISTORY = "web2py_filesystem"
DEFINITION = re.compile(r"(ALTER|COMMENT|CREATE|DROP|TRUNCATE)\b", re.IGNORECASE)
# What models do to rows. Values are nobody's business: only the number of rows is told.
ROWS = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM)\s+(?P<table>\S+)", re.IGNORECASE)
# What the columns of a table are in PostgreSQL. Those of its primary key are NOT NULL whatever is said of them.
COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN i.indrelid IS NULL THEN a.attnotnull END,
       EXISTS (SELECT FROM pg_index u WHERE u.indrelid = a.attrelid AND u.indisunique AND u.indpred IS NULL
                                        AND u.indnkeyatts = 1 AND u.indkey[0] = a.attnum),
       EXISTS (SELECT FROM pg_constraint c
                WHERE c.conrelid = a.attrelid AND c.contype = 'f' AND a.attnum = ANY (c.conkey))
  FROM pg_attribute a
  LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)
 WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
"""
# What PostgreSQL itself calls a type, without what stands in its parentheses; NULL when it has no such type.
TYPE_NAME = "SELECT format_type(to_regtype(%s), NULL)"
# The type that a definition in SQL begins with.
TYPE = re.compile(r"\w+(?:\((?P<modifier>[^)]*)\))?")
STRINGS = ("character varying", "character", "text")
# The types that pydal makes columns of, and what it calls them.
OF_PYDAL = {
    "bigint": "BIGINT",
    "bytea": "BYTEA",
    "character": "CHAR",
    "character varying": "VARCHAR",
    "date": "DATE",
    "double precision": "FLOAT8",
    "integer": "INTEGER",
    "json": "JSON",
    "numeric": "NUMERIC",
    "text": "TEXT",
    "time without time zone": "TIME",
    "timestamp without time zone": "TIMESTAMP",
}
# What a string column is in PostgreSQL, and the rest of its definition.
STRING = re.compile(r"(?P<type>VARCHAR\((?P<length>\d+)\)|TEXT)(?P<rest>| .*)")

COLUMN = """
SELECT a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS needs_a_value, i.indrelid IS NOT NULL AS is_key
  FROM pg_attribute a
  LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey)
 WHERE a.attrelid = to_regclass(%s) AND a.attname = %s AND NOT a.attisdropped
"""

# Everything that a migration may change, as text.
SCHEMA = """
SELECT format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
              pg_get_expr(d.adbin, d.adrelid))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace
ORDER BY 1
"""


class Stop(BaseException):
    """Ends the run of the models. Not an Exception: many a model goes on after any of those."""


class WouldChange(Stop):
    """--check has its answer."""


class Busy(Stop):
    """Other sessions hold a lock that is needed. Later it may be free."""


class RolledBack(Stop):
    """A model has rolled the transaction back, and with it what was done for the tables before."""


@dataclasses.dataclass
class Run:
    """What one run may do, and what it did."""

    check: bool = False
    # Take a table that has no history as it is found.
    adopt: bool = False
    drop_columns: bool = False
    allow_destructive: bool = False
    databases: dict = dataclasses.field(default_factory=dict)
    statements: list = dataclasses.field(default_factory=list)
    left_over: list = dataclasses.field(default_factory=list)
    adopted: list = dataclasses.field(default_factory=list)
    # Fields whose uploads only one host has.
    in_files: list = dataclasses.field(default_factory=list)
    refused: list = dataclasses.field(default_factory=list)
    # Differences between model and database that pydal leaves as they are.
    ignored: list = dataclasses.field(default_factory=list)
    # Set while pydal migrates a table: every statement is then part of it.
    migrating: bool = False
    # The last thing that PostgreSQL complained about.
    complaint: str = ""
    stopped: Stop = None
    committed: bool = False

    def stop(self, reason):
        """Note the reason, for a bare `except:` may swallow it all the same, and return it to be raised."""
        self.stopped = self.stopped or reason
        return reason

    def connect(self, driver_arguments):
        """One connection for each database, however many DAL() there are: two would wait for each other's locks."""
        names = ("host", "port", "database", "user")
        key = tuple(str(driver_arguments.get(name)) for name in names)
        if key not in self.databases:
            connection = psycopg2.connect(
                **{**driver_arguments, "connection_factory": Transaction, "cursor_factory": Cursor}
            )
            connection.run = self
            # Reading default values takes locks on tables, which --check does not.
            self.databases[key] = (connection, None if self.check else schema(connection))
        return self.databases[key][0]

    def failed_statement(self):
        """What PostgreSQL said, when a statement failed and a model made nothing of it. To PostgreSQL a commit after
        that is a rollback, without a word."""
        broken = psycopg2.extensions.TRANSACTION_STATUS_INERROR
        statuses = [connection.info.transaction_status for connection, _before in self.databases.values()]
        return self.complaint if broken in statuses else ""

    def commit(self):
        """Make it all true: whether a schema changed. psycopg2.Error: a database refused. With several databases,
        `committed` then says whether that was not the first."""
        if self.failed_statement():
            raise psycopg2.InternalError(self.failed_statement())
        changed = any(schema(connection) != before for connection, before in self.databases.values())
        for connection, _before in self.databases.values():
            psycopg2.extensions.connection.commit(connection)
            self.committed = True
        return changed

    def roll_back(self):
        for connection, _before in self.databases.values():
            if not connection.closed:
                psycopg2.extensions.connection.rollback(connection)


def schema(connection):
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        return cursor.fetchall()


class Transaction(psycopg2.extensions.connection):
    """A connection whose transaction ends when the run of the models does, and not before."""

    run = None

    def commit(self):
        pass

    def close(self):
        pass

    def rollback(self):
        raise self.run.stop(
            RolledBack(
                "a model rolls back, which would undo what was done for the tables before it"
                + (f"; before that PostgreSQL said: {self.run.complaint}" if self.run.complaint else "")
            )
        )


class Cursor(psycopg2.extensions.cursor):
    """Notes what is changed, changes nothing in a check, and ends the run when a lock can't be had."""

    def execute(self, query, arguments=None):
        run = self.connection.run
        text = " ".join(str(query).split())
        history = HISTORY in text
        rows = None if run.migrating or history else ROWS.match(text)
        if run.check and not history and (rows or DEFINITION.match(text)):
            raise run.stop(WouldChange(f"a model executes {rows[0] if rows else text}"))
        try:
            super().execute(query, arguments)
        # In a deadlock PostgreSQL ends one of the two, and it may be this one.
        except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected) as error:
            raise run.stop(Busy(f"{one_line(error)}: {text}")) from None
        except psycopg2.Error as error:
            # "Transaction is aborted" is what every statement after the one that failed gets.
            if not isinstance(error, psycopg2.errors.InFailedSqlTransaction):
                run.complaint = f"{one_line(error)}: {text[:500]}"
            raise
        if rows:
            run.statements.append(f"{rows[0]}: {self.rowcount} rows")
        elif not history and (run.migrating or DEFINITION.match(text)):
            run.statements.append(text)


def one_line(error):
    return " ".join(str(error).split())


@dataclasses.dataclass
class Found:
    """What PostgreSQL says of a column."""

    type: str
    # None: it is part of the primary key.
    not_null: bool
    # By itself, not together with others.
    unique: bool
    refers: bool

    def split(self):
        """The type's name, and what stands in its parentheses or None."""
        modifier = re.search(r"\((.*?)\)", self.type)
        return re.sub(r"\(.*?\)", "", self.type), modifier and modifier[1]

    @property
    def sql(self):
        """The type as pydal writes it."""
        name, modifier = self.split()
        word = OF_PYDAL.get(name, name.upper())
        return f"{word}({modifier})" if modifier else word

    def holds(self, name, modifier):
        """Whether a field of that type finds room for all its values here, and reads them as it wrote them. A type that
        pydal never makes is somebody's choice, or that of a tool which has copied another kind of database."""
        here, limit = self.split()
        if here not in OF_PYDAL:
            return True
        if name in STRINGS and here in STRINGS and here != "character":
            return limit is None or (name != "text" and int(limit) >= int(modifier or 1))
        return (name, here) == ("integer", "bigint")


@dataclasses.dataclass
class Plan:
    """What a table needs."""

    # In words, for the reader.
    changes: list = dataclasses.field(default_factory=list)
    destructive: list = dataclasses.field(default_factory=list)
    # Done here, because pydal would copy the column, or would not do it at all.
    statements: list = dataclasses.field(default_factory=list)
    # The columns that these statements bring up to date.
    settled: list = dataclasses.field(default_factory=list)


class ExpandMigrator(InDBMigrator):
    """pydal's migrator, but what the old version of the application needs stays.

    pydal compares each table of the models with the history of that table, in dictionaries of the same form: for each
    field the definition in SQL (`sql`), the name in the database (`raw_rname`; `rname` is quoted) and more.
    """

    def __init__(self, run, adapter):
        super().__init__(adapter)
        self.run = run

    def create_table(self, table, migrate=True, fake_migrate=False):
        self.tablename, self.quoted_name = table._tablename, table._rname
        return super().create_table(table, migrate, fake_migrate)

    def file_exists(self, filename):
        """Asked for each table; False makes pydal create it."""
        if not self.run.check:
            known = super().file_exists(filename)
            if known or not self.run.adopt or not self.columns(self.quoted_name):
                return known
            # An empty history: every field differs from it, and migrate_table gets to see them.
            self.write_history(filename, {})
            return True
        # Without the history's table the parent would create that.
        if not self.db.executesql(f"SELECT to_regclass('{HISTORY}')")[0][0] or not super().file_exists(filename):
            raise self.run.stop(WouldChange(f"{self.tablename} is new"))
        return True

    def columns(self, quoted_name):
        """What the database has of a table: name -> `Found`. Empty when there is no such table."""
        return {name: Found(*rest) for name, *rest in self.db.executesql(COLUMNS, [quoted_name])}

    def write_history(self, filename, history):
        file = self.file_open(filename, "wb")
        pickle.dump(history, file)
        self.file_close(file)

    def adopt(self, table, new):
        """A history for a table that has none: for each field of the models what the database has of it, and the
        columns that only the database has."""
        history = {}
        found = self.columns(table._rname)
        for column, entry in new.items():
            if entry["raw_rname"] in found:
                what = found.pop(entry["raw_rname"])
                history[column] = {**entry, "sql": self.described(f"{table._tablename}.{column}", entry["sql"], what)}
        for name in found:
            rname = self.dialect.quote(name)
            history[name] = {
                "type": "unknown",
                "sql": "",
                "length": 0,
                "sortable": 0,
                "rname": rname,
                "raw_rname": name,
            }
        self.run.adopted.append(table._tablename)
        return history

    def described(self, column, sql, found):
        """The models' definition of a column, with what the database has instead, as far as that is what a migration
        changes or refuses. pydal's own files in databases/ would say no more: of a field's type it compares the
        definition in SQL, which for `text` and `list:string` is the same."""
        if found.not_null is None:
            return sql
        bare, _not_null = split(sql)
        type_ = TYPE.match(bare)
        name = self.db.executesql(TYPE_NAME, [type_[0]])[0][0]
        if name and (name, type_["modifier"]) != found.split():
            if found.holds(name, type_["modifier"]):
                self.run.ignored.append(f"{column} is {type_[0]} in the models and {found.type} in the database")
            else:
                bare = found.sql + bare[type_.end() :]
        # What the database has of these and the models haven't stays: it may have been added by hand.
        if not found.unique:
            bare = bare.replace(" UNIQUE", "")
        if not found.refers:
            bare = bare.partition(" REFERENCES ")[0]
        bare += " NOT NULL" if found.not_null else ""
        return sql if split(bare) == split(sql) else bare

    @staticmethod
    def file_close(fileobj):
        # The parent writes a file that was only read back, too.
        if fileobj.mode not in ("r", "rb"):
            InDBMigrator.file_close(fileobj)

    def migrate_table(self, table, sql_fields, sql_fields_old, sql_fields_aux, logfile, fake_migrate=False):
        """Called for a table that differs from its history."""
        if fake_migrate:
            super().migrate_table(table, sql_fields, sql_fields_old, sql_fields_aux, logfile, fake_migrate)
            return
        new, old, wanted = (
            dict(map(self._fix, fields.items())) for fields in (sql_fields, sql_fields_old, sql_fields_aux)
        )
        history = dict(old)
        if self.run.adopt and not old:
            old = self.adopt(table, new)
        plan = self.plan(table, new, old, wanted)
        name = table._tablename
        if not self.run.allow_destructive:
            self.run.refused += [f"{name}.{change}" for change in plan.destructive]
        if self.run.refused:
            return  # The rest is only looked at: nothing of this run will stay.
        if self.run.check:
            if plan.changes:
                raise self.run.stop(WouldChange("; ".join(f"{name}.{change}" for change in plan.changes)))
            return
        self.run.migrating = True
        try:
            for statement in plan.statements:
                self.log(statement + "\n", table)
                self.adapter.execute(statement)
            old.update({column: new[column] for column in plan.settled})
            if new != old:
                super().migrate_table(table, new, old, wanted, logfile)
            if new != history:
                self.save_dbt(table, new)
        finally:
            self.run.migrating = False

    def plan(self, table, new, old, wanted):
        """Compare the models' fields with the history. Columns that the models no longer have are added to `new`,
        so that pydal leaves them alone, unless they are to go."""
        plan = Plan()
        fields = {self._fix((field.name, {}))[0]: field for field in table}
        for column, entry in new.items():
            if column not in old:
                plan.changes.append(f"{column} is new")
                # The old version's inserts know nothing of it, and rows that are there have no value for it.
                if needs_a_value(wanted[column]["sql"]):
                    plan.destructive.append(f"{column} is new, NOT NULL and without a default")
            else:
                self.plan_column(plan, table, fields[column], column, entry, old[column])
        for column in [column for column in old if column not in new]:
            if self.run.drop_columns:
                plan.changes.append(f"{column} is dropped for good{self.held(table, old[column])}")
            else:
                self.plan_left_over(plan, table, column, old[column])
                new[column] = old[column]
        return plan

    def plan_column(self, plan, table, field, column, new, old):
        if new["raw_rname"].lower() != old["raw_rname"].lower():
            change = f"{column} is called {new['raw_rname']} in the database instead of {old['raw_rname']}"
            change += self.held(table, old)
            plan.changes.append(change)
            plan.destructive.append(change)
            return
        if new["sql"] == old["sql"]:
            return
        alter = f"ALTER TABLE {table._rname} ALTER COLUMN {new['rname']}"
        (new_type, new_not_null), (old_type, old_not_null) = split(new["sql"]), split(old["sql"])
        change = f"{column} is {new['sql']} instead of {old['sql'].rstrip()}"
        statements = []
        if new_type != old_type:
            if isinstance(field.type, SQLCustomType) or new["type"].startswith(("reference", "double", "id")):
                self.run.ignored.append(f"{table._tablename}.{change}; web2py does not change this kind of column")
            elif widens(old_type, new_type):
                statements.append(f"{alter} TYPE {STRING.fullmatch(new_type)['type']};")
            else:
                change += self.held(table, old)
                plan.changes.append(change)
                plan.destructive.append(change)
                return  # pydal copies the column, NOT NULL or not
        if old_not_null and not new_not_null:
            statements.append(f"{alter} DROP NOT NULL;")
        elif new_not_null and not old_not_null:
            change += self.held(table, old)
            plan.destructive.append(change)
            # pydal would add a NOT NULL column to copy into, which no table with rows takes.
            if field.default is not None:
                default = self.adapter.represent(field.default, field.type)
                statements += [
                    f"{alter} SET DEFAULT {default};",
                    f"UPDATE {table._rname} SET {new['rname']}={default} WHERE {new['rname']} IS NULL;",
                ]
            statements.append(f"{alter} SET NOT NULL;")
        if statements:
            plan.changes.append(change)
            plan.statements += statements
            plan.settled.append(column)

    def held(self, table, old):
        """How much a change that loses data would lose, in words. Counting takes as long as reading the table, so not
        while others wait for what was changed before."""
        if self.run.statements or old["raw_rname"] not in self.columns(table._rname):
            return ""
        rows, values = self.db.executesql(f"SELECT count(*), count({old['rname']}) FROM {table._rname}")[0]
        return f" ({values} of {rows} rows have a value)"

    def plan_left_over(self, plan, table, column, old):
        self.run.left_over.append(f"{table._tablename}.{column}")
        found = self.db.executesql(COLUMN, [table._rname, old["raw_rname"]], as_dict=True)
        if not found or not found[0]["needs_a_value"]:
            return
        if found[0]["is_key"]:
            change = f"{column} is part of the primary key and not in the model"
            plan.changes.append(change)
            plan.destructive.append(change)
            return
        # The new version's inserts know nothing of it.
        plan.changes.append(f"{column} is not in the model any more and may be empty")
        plan.statements.append(f"ALTER TABLE {table._rname} ALTER COLUMN {old['rname']} DROP NOT NULL;")


def split(sql):
    """A definition without NOT NULL, and whether that was in it."""
    return " ".join(sql.replace(" NOT NULL", " ").split()), " NOT NULL" in sql


def needs_a_value(sql):
    return " NOT NULL" in sql and not re.search(r"(?<!SET )\bDEFAULT\b", sql)


def widens(old, new):
    """Whether a string column becomes one that holds at least as much, and stays the same otherwise."""
    old, new = STRING.fullmatch(old), STRING.fullmatch(new)
    return bool(old and new and old["rest"] == new["rest"] and length(old) <= length(new))


def length(string):
    return int(string["length"] or 1 << 30)
