import FastPath
import Testing

private func lcore(_ name: String, cpu: Int?, node: Int = 0, siblings: Set<Int> = []) -> LcoreLayout.Lcore {
    LcoreLayout.Lcore(name: name, cpu: cpu, node: node, siblings: siblings)
}

@Test func aGoodLayoutHasNothingToSay() {
    let layout = LcoreLayout(
        control: lcore("control", cpu: 0), workers: [lcore("worker 0", cpu: 2), lcore("worker 1", cpu: 4)],
        ports: [.init(name: "0000:01:00.0", node: 0, worker: 0), .init(name: "net_memif0", node: -1, worker: 1)],
        isolated: [2, 4])
    #expect(layout.warnings == [])
}

@Test func whatCostsSpeedIsNamed() {
    let layout = LcoreLayout(
        control: lcore("control", cpu: 0, siblings: [0, 8]),
        workers: [
            lcore("worker 0", cpu: 1, siblings: [1, 9]), lcore("worker 1", cpu: 9, node: 1, siblings: [1, 9]),
            lcore("worker 2", cpu: 1, siblings: [1, 9]), lcore("worker 3", cpu: nil),
        ],
        ports: [.init(name: "0000:81:00.0", node: 1, worker: 0), .init(name: "0000:81:00.1", node: 1, worker: 1)],
        isolated: [9])
    #expect(
        layout.warnings == [
            "worker 1 on CPU 9 and worker 0 on CPU 1 are threads of one core: each gets half of it",
            "worker 2 and worker 0 share CPU 1: give each one of its own by --lcores",
            "worker 2 on CPU 1 and worker 1 on CPU 9 are threads of one core: each gets half of it",
            "worker 3 may run on several CPUs: pin it, for instance --lcores 4@4",
            "port 0000:81:00.0 is on NUMA node 1, worker 0 on node 0: choose an lcore of the port's node",
            "the kernel may run other work on the workers' CPUs: boot with isolcpus=1 nohz_full=1",
        ])
}

@Test func setsOfCPUsInTheKernelsForm() {
    #expect(LcoreLayout.parse("0-2,8,10-11\n") == [0, 1, 2, 8, 10, 11])
    #expect(LcoreLayout.parse("\n") == [])
    #expect(LcoreLayout.parse("5-2,x,99999999") == [])
}
