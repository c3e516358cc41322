import ArgumentParser
import Foundation
import InterCore

/// What a port with a hash would do: to each worker's queue the flows that are its own.
struct Owners: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Writes the numbers of each worker's flows, as 32-bit words, to PATH.0, PATH.1 and so on.")

    @Option(help: "Flows, numbered from 0.") var flows: Int
    @Option(help: "Workers.") var workers: Int
    @Flag(name: .customLong("ipv6"), help: "Keys are IPv6.") var isIPv6 = false
    @Argument(help: "Where to.") var path: String

    func run() throws {
        var numbers = [[UInt32]](repeating: [], count: workers)
        var order = (0..<flows).map { UInt32($0) }
        var random = SplitMix64(state: 1)
        for last in stride(from: flows - 1, to: 0, by: -1) {
            order.swapAt(last, Int(random.next() % UInt64(last + 1)))
        }
        for number in order {
            let key = flowKey(number: Int(number), isIPv6: isIPv6)
            numbers[flowOwner(of: key, seed: WorkerBench.hashSeed, workerCount: workers)].append(number)
        }
        for (worker, own) in numbers.enumerated() {
            try own.withUnsafeBytes { Data($0) }.write(to: URL(fileURLWithPath: "\(path).\(worker)"))
        }
    }
}
