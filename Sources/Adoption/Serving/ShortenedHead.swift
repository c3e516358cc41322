/// A request's head that asks for the same in fewer bytes: whoever reads it chooses a server, and answers nothing.
///
/// The longest fields are left out first, `Host` never. Complexity: O(n log n).
/// - Returns: nil where what has to stay is longer than `limit` bytes.
package func shortened(_ head: [UInt8], to limit: Int) -> [UInt8]? {
    guard head.count > limit else { return head }
    // Line ends included; the last one is the empty line.
    let lines = head.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast().map { $0 + [0x0A] }
    let fields = lines.indices.dropFirst().dropLast().filter { !isHost(lines[$0]) }
    var count = head.count
    var leftOut: Set<Int> = []
    for field in fields.sorted(by: { lines[$0].count > lines[$1].count }) where count > limit {
        count -= lines[field].count
        leftOut.insert(field)
    }
    return count > limit ? nil : lines.indices.filter { !leftOut.contains($0) }.flatMap { lines[$0] }
}

private func isHost(_ line: ArraySlice<UInt8>) -> Bool {
    line.prefix(5).map { $0 | 0x20 }.elementsEqual("host:".utf8)
}
