/// `EHLO SP domain CRLF` or `HELO SP domain CRLF` (RFC 5321 section 4.1.1.1), commands in any case.
///
/// The argument may be a name or an address literal and must be one word of visible ASCII. Without an argument, or with
/// spaces around it, servers differ: the origin's.
func readSMTPGreeting(_ bytes: UnsafeRawBufferPointer) -> Recognition {
    /// Section 4.5.3.1.4: command line with CRLF.
    let maximumLine = 512
    let extended: StaticString = "ehlo "
    let plain: StaticString = "helo "
    var position = 0
    var couldBeExtended = true
    var couldBePlain = true
    while position < 5 {
        guard position < bytes.count else { return .incomplete }
        let byte = bytes[position].lowercased
        couldBeExtended = couldBeExtended && byte == extended.utf8Start[position]
        couldBePlain = couldBePlain && byte == plain.utf8Start[position]
        guard couldBeExtended || couldBePlain else { return .unsuitable(.unknownProtocol) }
        position &+= 1
    }
    while position < bytes.count, bytes[position].isVisible { position &+= 1 }
    guard position &+ 2 <= maximumLine else { return .unsuitable(.tooLong) }
    guard position < bytes.count else { return .incomplete }
    guard position > 5, bytes[position] == .carriageReturn else {
        return .unsuitable(bytes[position] == .lineFeed ? .bareLineFeed : .malformed)
    }
    guard position &+ 1 < bytes.count else { return .incomplete }
    guard bytes[position &+ 1] == .lineFeed else { return .unsuitable(.malformed) }
    return .request(
        RecognisedRequest(
            application: .smtp, headLength: position &+ 2, host: ByteRange(start: 5, count: position &- 5)))
}
