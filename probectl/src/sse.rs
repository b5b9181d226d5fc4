//! Server-Sent Events as they arrive in pieces (WHATWG HTML, section 9.2.6), with bounds on a line and on an event.

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// What to resume from; the stream's last id where this event carried none.
    pub(crate) id: Option<String>,
    /// Its name; `message` where it carried none.
    pub(crate) event: String,
    /// Its data, lines joined by line feeds.
    pub(crate) data: String,
}

/// Takes bytes, gives events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    after_return: bool,
    begun: bool,
    id: Option<String>,
    event: String,
    data: Option<String>,
}

/// The stream is not one of events, or one of them is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidStream {
    #[error("a line is longer than 1 MiB")]
    LineTooLong,
    #[error("an event is longer than 4 MiB")]
    EventTooLong,
    #[error("it is not UTF-8")]
    NotUtf8,
}

impl Parser {
    /// Takes the next bytes of the stream and gives the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Message>, InvalidStream> {
        let mut messages = Vec::new();
        let mut rest = bytes;
        while let Some((&first, after)) = rest.split_first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                rest = after;
                continue;
            }
            let length = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (piece, end) = rest.split_at(length.unwrap_or(rest.len()));
            if self.line.len() + piece.len() > LINE_BYTES {
                return Err(InvalidStream::LineTooLong);
            }
            self.line.extend_from_slice(piece);
            let Some((&terminator, after)) = end.split_first() else { break };
            self.after_return = terminator == b'\r';
            messages.extend(self.end_of_line()?);
            rest = after;
        }
        Ok(messages)
    }

    fn end_of_line(&mut self) -> Result<Option<Message>, InvalidStream> {
        let bytes = std::mem::take(&mut self.line);
        let text = std::str::from_utf8(&bytes).map_err(|_| InvalidStream::NotUtf8)?;
        let begun = std::mem::replace(&mut self.begun, true);
        let line = if begun { text } else { text.strip_prefix('\u{feff}').unwrap_or(text) };
        if line.is_empty() {
            return Ok(self.end_of_event());
        }
        let (field, value) = line
            .split_once(':')
            .map_or((line, ""), |(field, value)| (field, value.strip_prefix(' ').unwrap_or(value)));
        match field {
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => self.add_data(value)?,
            _comment_or_unknown => {}
        }
        Ok(None)
    }

    fn add_data(&mut self, value: &str) -> Result<(), InvalidStream> {
        let data = match &mut self.data {
            Some(data) => {
                data.push('\n');
                data
            }
            None => self.data.insert(String::new()),
        };
        if data.len() + value.len() > EVENT_BYTES {
            return Err(InvalidStream::EventTooLong);
        }
        data.push_str(value);
        Ok(())
    }

    fn end_of_event(&mut self) -> Option<Message> {
        let event = std::mem::take(&mut self.event);
        let data = self.data.take()?;
        Some(Message {
            id: self.id.clone(),
            event: if event.is_empty() { "message".to_owned() } else { event },
            data,
        })
    }
}

/// Longest line.
const LINE_BYTES: usize = 1024 * 1024;
/// Longest data of one event.
const EVENT_BYTES: usize = 4 * LINE_BYTES;

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use super::*;

    fn message(id: Option<&str>, event: &str, data: &str) -> Message {
        Message {
            id: id.map(str::to_owned),
            event: event.to_owned(),
            data: data.to_owned(),
        }
    }

    const STREAM: &str = "\u{feff}: comment\nid: b.m.1\nevent: finding\ndata: {\"a\":\ndata: 1}\n\nevent: left out\n\ndata:x\r\n\r\nid:b.m.2\rdata: \u{e4}\r\r\nretry: 5\nid: a\0b\nunknown: y\ndata\n\ndata: never ended";

    fn expected() -> Vec<Message> {
        vec![
            message(Some("b.m.1"), "finding", "{\"a\":\n1}"),
            message(Some("b.m.1"), "message", "x"),
            message(Some("b.m.2"), "message", "\u{e4}"),
            message(Some("b.m.2"), "message", ""),
        ]
    }

    #[test]
    fn events_are_read_with_every_line_ending() {
        assert_eq!(Parser::default().push(STREAM.as_bytes()), Ok(expected()));
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let messages: Vec<Message> = STREAM.as_bytes().chunks(size).flat_map(|piece| parser.push(piece).unwrap()).collect();
            assert_eq!(messages, expected(), "pieces of {size}");
        }
    }

    #[test]
    fn lines_and_events_are_bounded() {
        let mut parser = Parser::default();
        let longest = [b"data:".as_slice(), &vec![b'a'; LINE_BYTES - 5]].concat();
        assert_eq!(parser.push(&longest), Ok(vec![]));
        assert_eq!(parser.push(b"a"), Err(InvalidStream::LineTooLong));

        let mut parser = Parser::default();
        let line = [longest.as_slice(), b"\n"].concat();
        let ended = (0..5).map(|_| parser.push(&line)).find(Result::is_err);
        assert_eq!(ended, Some(Err(InvalidStream::EventTooLong)));
    }

    #[test]
    fn what_is_not_text_is_refused() {
        assert_eq!(Parser::default().push(b"data: \xff\n"), Err(InvalidStream::NotUtf8));
    }

    #[test]
    fn fuzz_event_stream() {
        let target = Target::new("event_stream", include_str!("../corpus/event_stream.txt")).with_words(&[
            b"\r",
            b"\n",
            b"\n\n",
            b"data: ",
            b"id: ",
            b"event: ",
            b"\0",
            b"\xef\xbb\xbf",
        ]);
        target.survives(|bytes| {
            let whole = Parser::default().push(bytes);
            let mut parser = Parser::default();
            let pieces: Result<Vec<Vec<Message>>, InvalidStream> = bytes.chunks(5).map(|piece| parser.push(piece)).collect();
            assert_eq!(pieces.map(|pieces| pieces.concat()), whole, "it is the same however it is cut");
            Reading::of(whole.is_ok_and(|messages| !messages.is_empty()))
        });
    }
}
