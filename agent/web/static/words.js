// What the page itself says. Words of points stay those of XFS4IoT: a technician finds them in every manual.
export const WORDS = {
  en: {
    skip: "To the machine", language: "Language", signIn: "Sign in", signOut: "Sign out", secret: "Secret of this gateway",
    machine: "Machine", alarms: "Alarms", cash: "Cash", unit: "Unit", value: "Value", notes: "Notes", status: "Status",
    service: "Service window", minutes: "Minutes", begin: "Announce a visit", end: "End the visit", curves: "Cash and scores", scores: "Scores",
    span: "Span", noCurve: "No summaries of this span yet.", points: "Everything it says", point: "Point", none: "No alarms.",
    planned: "planned work", cleared: "over", repeats: "times", evidence: "Evidence", link: "Link", backlog: "Waiting",
    store: "Store", lost: "The agent does not answer; trying again.", inIt: "in the machine", lasts: "lasts", days: "days", visit: "Visit",
    readOnly: "Sign in to announce a visit.", unusable: "not usable", screen: "service", card: "card",
    printer: "printer", shutter: "shutter", cabinet: "cabinet", safe: "safe", attack: "Attack", time: "Time",
  },
  de: {
    skip: "Zum Automaten", language: "Sprache", signIn: "Anmelden", signOut: "Abmelden", secret: "Kennwort dieses Gateways",
    machine: "Automat", alarms: "Alarme", cash: "Bargeld", unit: "Einheit", value: "Wert", notes: "Noten", status: "Zustand",
    service: "Servicefenster", minutes: "Minuten", begin: "Besuch ankündigen", end: "Besuch beenden", curves: "Bargeld und Bewertungen", scores: "Bewertungen",
    span: "Zeitraum", noCurve: "Noch keine Zusammenfassungen aus diesem Zeitraum.", points: "Alles, was er meldet", point: "Punkt",
    none: "Keine Alarme.", planned: "geplante Arbeit", cleared: "vorbei", repeats: "mal", evidence: "Belege", link: "Verbindung",
    backlog: "Wartend", store: "Speicher", lost: "Der Agent antwortet nicht; neuer Versuch läuft.", inIt: "im Automaten", lasts: "reicht", days: "Tage",
    visit: "Besuch", readOnly: "Zum Ankündigen bitte anmelden.", unusable: "nicht brauchbar", screen: "Betrieb",
    card: "Karte", printer: "Drucker", shutter: "Ausgabe", cabinet: "Gehäuse", safe: "Tresor", attack: "Angriff", time: "Zeit",
  },
  zh: {
    skip: "跳到设备", language: "语言", signIn: "登录", signOut: "退出", secret: "本网关的密码",
    machine: "设备", alarms: "告警", cash: "现金", unit: "钞箱", value: "面值", notes: "张数", status: "状态",
    service: "维护时段", minutes: "分钟", begin: "登记到访", end: "结束到访", curves: "现金与评分", scores: "评分",
    span: "时间范围", noCurve: "该时段尚无汇总数据。", points: "全部测点", point: "测点", none: "没有告警。",
    planned: "计划内作业", cleared: "已解除", repeats: "次", evidence: "依据", link: "链路", backlog: "待发送",
    store: "存储", lost: "代理没有响应,正在重试。", inIt: "在设备内", lasts: "可用", days: "天", visit: "到访",
    readOnly: "登录后才能登记到访。", unusable: "不可用", screen: "服务", card: "读卡器",
    printer: "打印机", shutter: "出钞口", cabinet: "柜体", safe: "保险柜", attack: "攻击", time: "时间",
  },
};
