import Foundation
import Testing

/// Invariant 5: nothing that a worker does for a packet calls Swift's runtime (retain, release, allocation, exclusivity,
/// metadata), allocates, or takes a lock. Read from the object code of a release build, over every path from
/// `Worker.poll`, from the translation of a segment and from what answers SYNs.
@Test func invariant5APacketCausesNoRuntimeCall() throws {
    let objects = try ["FastPath", "Wire", "InterCore"].flatMap { try releaseObjects(of: $0) }
    let missing = objects.filter { !FileManager.default.fileExists(atPath: $0) }
    try #require(
        missing.isEmpty,
        "a debug build says nothing about this; first run `swift build -c release`. Missing: \(missing)")
    let disassembly = try Repository.run(["objdump", "-dr", "--no-show-raw-insn"] + objects)
    try #require(disassembly.status == 0)
    let callees = CallGraph(disassembly: disassembly.output).callees
    // What a worker calls, and what is made to be called by one.
    let roots = [
        "$s8FastPath6WorkerV4poll", "$s4Wire11TranslationV8toClient", "$s4Wire11TranslationV8toServer",
        "$s4Wire7FlowKeyV9readdress_", "$s4Wire9SYNAnswerO6answer", "$s4Wire12CookieReturnO5check",
    ]
    for root in roots {
        try #require(callees.keys.contains { $0.hasPrefix(root) }, "\(root)… has another name")
    }
    let entries = callees.keys.filter { name in roots.contains { name.hasPrefix($0) } }

    var callers: [String: String] = [:]
    var waiting = entries
    var offences: [String] = []
    while let function = waiting.popLast() {
        for callee in callees[function] ?? [] where callers[callee] == nil && !entries.contains(callee) {
            callers[callee] = function
            waiting.append(callee)
            if isForbidden(callee) { offences.append(path(to: callee, callers)) }
        }
    }
    #expect(callers.count > 50, "the walk found hardly anything")
    // Stages that do not end where `poll` begins: another worker's packets, commands, time, and what states decide.
    for stage in ["handOver", "receiveHandedOver", "takeCommands", "expire", "act", "handleServer", "commit"] {
        let isReached = (callers.keys + entries).contains { $0.hasPrefix("$s8FastPath6WorkerV\(stage.count)\(stage)") }
        #expect(isReached, "the walk from poll does not reach \(stage)")
    }
    #expect(offences.isEmpty, "\(offences.joined(separator: "\n"))")
}

/// One object file for each source file that there is today: others may be left from a file that has gone.
private func releaseObjects(of module: String) throws -> [String] {
    try Repository.files(under: "Sources/\(module)", endings: [".swift"]).map { file in
        "\(Repository.root)/.build/release/\(module).build/\(URL(fileURLWithPath: file.path).lastPathComponent).o"
    }
}

private func isForbidden(_ symbol: String) -> Bool {
    let functions: Set = ["malloc", "calloc", "realloc", "free", "posix_memalign", "pthread_mutex_lock"]
    return symbol.hasPrefix("swift_") || symbol.hasPrefix("_swift_") || functions.contains(symbol)
}

private func path(to symbol: String, _ callers: [String: String]) -> String {
    var steps = [symbol]
    while let caller = callers[steps.last!], steps.count < 32 { steps.append(caller) }
    return steps.joined(separator: " < ")
}

/// Which function refers to which, from `objdump -dr`.
private struct CallGraph {
    var callees: [String: Set<String>] = [:]

    init(disassembly: String) {
        var function = ""
        for line in disassembly.split(separator: "\n") {
            if line.hasSuffix(">:"), let start = line.firstIndex(of: "<") {
                function = String(line[line.index(after: start)...].dropLast(2))
                callees[function] = callees[function] ?? []
            } else if let relocation = line.range(of: "R_X86_64_") {
                let words = line[relocation.lowerBound...].split(whereSeparator: \.isWhitespace)
                guard words.count > 1 else { continue }
                callees[function, default: []].insert(Self.name(words[1]))
            } else if let open = line.lastIndex(of: "<"), line.hasSuffix(">"),
                line.contains("call") || line.contains("jmp")
            {
                callees[function, default: []].insert(Self.name(line[line.index(after: open)...].dropLast()))
            }
        }
    }

    /// Without the displacement: `symbol-0x4`, `symbol+0x10`.
    private static func name(_ text: some StringProtocol) -> String {
        let displacement = text.range(of: "-0x") ?? text.range(of: "+0x")
        return String(displacement.map { text[..<$0.lowerBound] } ?? text[...])
    }
}
