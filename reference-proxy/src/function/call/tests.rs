use super::*;

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.extend_from_slice(message);
    frame
}

fn cut(messages: &mut Cutter, data: &[u8]) -> Vec<Bytes> {
    messages.push(Bytes::copy_from_slice(data));
    std::iter::from_fn(|| messages.next().unwrap()).collect()
}

#[test]
fn messages_are_cut_wherever_the_data_was() {
    let wire = [framed(b"one"), framed(b""), framed(b"three")].concat();
    for first in 0..wire.len() {
        for second in first..wire.len() {
            let mut messages = Cutter::new(100);
            let mut all = cut(&mut messages, &wire[..first]);
            all.extend(cut(&mut messages, &wire[first..second]));
            all.extend(cut(&mut messages, &wire[second..]));
            assert_eq!(all, ["one", "", "three"], "cut at {first} and {second}");
        }
    }
}

#[test]
fn a_whole_message_is_not_copied() {
    let data = Bytes::from(framed(b"payload"));
    let mut messages = Cutter::new(100);
    messages.push(data.clone());
    let message = messages.next().unwrap().unwrap();
    assert_eq!(message.as_ptr(), data[PREFIX..].as_ptr());
}

#[test]
fn compressed_and_oversized_messages_are_garbage() {
    let mut messages = Cutter::new(3);
    messages.push(Bytes::from_static(&[1, 0, 0, 0, 0]));
    assert!(messages.next().unwrap_err().contains("compressed"));

    let mut messages = Cutter::new(3);
    messages.push(Bytes::from(framed(b"four")));
    let error = messages.next().unwrap_err();
    assert_eq!(error, "a message has 4 bytes; 3 are allowed");
}

#[test]
fn a_frame_copies_a_short_tail_and_not_a_long_one() {
    for length in [3, 100_000] {
        let tail = Bytes::from(vec![7; length]);
        let mut frame = Frame::with_tail(2 + length, tail.clone());
        frame.head().put_slice(b"ab");
        frame.put_tail(&tail);
        assert_eq!(frame.tail.is_empty(), length == 3);
        let sent = [frame.head.freeze(), frame.tail].concat();
        assert_eq!(sent, framed(&[b"ab".as_slice(), &tail].concat()));
    }
}

#[test]
fn a_timeout_is_written_in_at_most_eight_digits() {
    for (nanos, text) in [
        (0, "0S"),
        (1, "1n"),
        (200_000_000, "200m"),
        (60_000_000_000, "60S"),
        (1_500_000_000, "1500m"),
        (1_000_000_001, "1000000u"),
        (99_999_999_999_999_999, "99999999S"),
        (u64::MAX, "5124095H"),
    ] {
        assert_eq!(timeout_text(Duration::from_nanos(nanos)), text);
    }
}
