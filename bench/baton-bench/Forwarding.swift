import ArgumentParser
import FastPath

/// Receive and transmit: what the ports and the shim cost.
struct InputOutput: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "io", abstract: "Forwards packets unchanged; beside testpmd io.")

    @OptionGroup var ports: PortOptions
    @Option(help: "Packets received at once.") var burst = 32

    func run() throws { try measureForwarding(ports, .nothing, burst: burst) }
}

/// The same with one write to each packet's first cache line.
struct SwapAddresses: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "macswap", abstract: "Forwards packets with their MAC addresses swapped; beside testpmd macswap.")

    @OptionGroup var ports: PortOptions
    @Option(help: "Packets received at once.") var burst = 32

    func run() throws { try measureForwarding(ports, .swapAddresses, burst: burst) }
}

/// A flood of SYNs that is answered and not remembered: checksum verified, cookie made, SYN/ACK written over the SYN.
struct SYNAnswers: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "synanswers", abstract: "Answers the SYNs of a capture with SYN cookies.")

    @OptionGroup var ports: PortOptions

    func run() throws { try measureForwarding(ports, .answerSYNs, burst: 32) }
}

private func measureForwarding(_ options: PortOptions, _ work: Forwarder.Work, burst: Int) throws {
    try options.startEnvironment()
    let stopFlag = StopFlag()
    let forwarder = Forwarder(try PortPair(options), work, burstSize: burst, stopFlag: stopFlag)
    let counts = forwarder.counts
    let context = UnsafeMutablePointer<Forwarder>.allocate(capacity: 1)
    context.initialize(to: forwarder)
    let lcore = try measuredLcore()
    try Environment.launch(
        onLcore: lcore,
        { argument in
            argument!.assumingMemoryBound(to: Forwarder.self).pointee.run()
            return 0
        }, context)
    var report = Measurement.take(options, received: { counts.pointee.received })
    stopFlag.raise()
    Environment.wait(forLcore: lcore)
    report.counters = [
        "received": counts.pointee.received, "transmitted": counts.pointee.transmitted,
        "dropped": counts.pointee.dropped, "answered": counts.pointee.answered,
    ]
    try report.print()
}
