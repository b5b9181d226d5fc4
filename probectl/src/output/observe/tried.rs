//! What a kernel thinks of a package: a line for each program, and below one that is not taken what the verifier says.

use shared_protocol::report::PackageTried;

use crate::output::Cell;
use crate::output::probe::Details;

pub(super) fn lines(tried: &PackageTried) -> Vec<String> {
    let mut lines = vec![format!("memory   {} bytes of maps", tried.memory_bytes)];
    for program in &tried.programs {
        let said = match (&program.refused, program.instructions) {
            (Some(why), _) => format!("NOT TAKEN: {why}"),
            (None, Some(instructions)) => format!("taken, {instructions} instructions looked at"),
            (None, None) => "taken".to_owned(),
        };
        lines.push(format!("program  {} for {}: {said}", program.name, program.attach));
        let log = program.log.iter().flat_map(|log| log.lines());
        lines.extend(log.map(|line| format!("         {line}")));
    }
    lines
}

pub(super) fn details(tried: &PackageTried) -> Details {
    Details {
        columns: &["program", "attach", "taken", "instructions", "refused"],
        rows: tried
            .programs
            .iter()
            .map(|program| {
                vec![
                    program.name.as_str().into(),
                    program.attach.as_str().into(),
                    if program.refused.is_none() { "yes" } else { "no" }.into(),
                    Cell::of(program.instructions),
                    Cell::of(program.refused.as_ref()),
                ]
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use shared_protocol::report::ProgramTried;

    use super::*;

    #[test]
    fn each_program_has_a_line_and_the_verifier_its_say() {
        let program = |name: &str, instructions, refused: Option<&str>| ProgramTried {
            name: name.to_owned(),
            attach: "raw_tp/sys_enter".to_owned(),
            instructions,
            refused: refused.map(str::to_owned),
            log: refused.map(|_| "0: (b7) r1 = 0\n1: invalid".to_owned()),
        };
        let tried = PackageTried {
            memory_bytes: 64,
            programs: vec![program("one", Some(7), None), program("other", None, Some("the kernel does not take it"))],
        };
        insta::assert_snapshot!(lines(&tried).join("\n"), @r"
        memory   64 bytes of maps
        program  one for raw_tp/sys_enter: taken, 7 instructions looked at
        program  other for raw_tp/sys_enter: NOT TAKEN: the kernel does not take it
                 0: (b7) r1 = 0
                 1: invalid
        ");
        assert_eq!(details(&tried).rows.len(), 2);
    }
}
