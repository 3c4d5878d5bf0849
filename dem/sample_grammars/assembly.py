"""Assembly: minutes of a national assembly's committees and plenary sittings."""

from dem.sample_grammars.form import Grammar, Kind, lines, maybe, one, some, table, total, words

ASSEMBLY_SLOTS = {
    "surname": words(
        "강 고 공 구 권 금 길 김 나 남 노 도 류 마 맹 명 문 민 박 반 방 배 백 변 봉 서 석 선 "
        "설 성 소 손 송 신 심 안 양 엄 여 연 염 오 옥 우 원 유 육 윤 은 이 임 장 전 정 제 조 "
        "주 지 진 차 채 천 최 추 편 표 하 한 함 허 현 홍 황"
    ),
    "name": ("{~surname}○○",),
    "chair": ("○위원장 {name1}",),
    "asker": ("○{name2} 위원",),
    "backer": ("○{name3} 위원",),
    "minister": ("○{ministry}장관 {name4}",),
    "expert": ("○수석전문위원 {name5}",),
    "speaker": ("○의장 {name6}",),
    "vice": ("○{ministry}차관 {name7}",),
    "session": range(301, 430),
    "sitting": range(1, 14),
    "item": range(1, 48),
    "year": range(2, 8),
    "minute": range(1, 60),
    "hour": range(10, 20),
    "region": words("강변 산간 도서 내륙 접경 해안 농어촌 신도시 구도심 공업 온천 분지 광산 고원"),
    "tone": words("정확히 구체적으로 서면으로 분명하게 책임_있게 상세히 조속히"),
    "thanks": lines("""
        위원님 지적에 전적으로 공감합니다.
        좋은 지적 감사합니다.
        위원님께서 우려하시는 바를 잘 알고 있습니다.
        그 점은 저희가 미흡했습니다.
        말씀 주신 취지를 충분히 이해하고 있습니다.
        현장의 목소리를 무겁게 받아들이고 있습니다.
    """),
    "pledge": lines("""
        관계 부처와 협의하여 조속히 대책을 마련하겠습니다.
        {months}개월 안에 개선 방안을 보고드리겠습니다.
        실태 조사를 거쳐 위원회에 자료를 제출하겠습니다.
        시범 사업부터 추진한 뒤 단계적으로 확대하겠습니다.
        하위 법령을 정비할 때 위원님 의견을 반영하겠습니다.
        예산 당국과 적극적으로 협의해 나가겠습니다.
        전담 인력을 배치하여 차질이 없도록 하겠습니다.
    """),
    "months": range(2, 10),
    "demand": lines("""
        이 부분을 {tone} 답변해 주시기 바랍니다.
        담당자를 지정해서 {tone} 챙겨 주십시오.
        관련 자료를 {tone} 제출해 주시기 바랍니다.
        다음 회의 전까지 {tone} 보고해 주십시오.
        말로만 검토하지 마시고 {tone} 이행해 주십시오.
    """),
    "silence": ("(「없습니다」 하는 위원 있음)", "(「이의 없습니다」 하는 위원 있음)"),
    "open": lines("""
        의석을 정돈해 주시기 바랍니다. 성원이 되었으므로 제{session}회 {committee} 제{sitting}차 회의를 \
            개의하겠습니다.
        성원이 되었으므로 {committee} 제{sitting}차 전체회의를 개의하겠습니다. 바쁘신 가운데 참석해 주신 \
            위원님 여러분께 감사드립니다.
        회의를 속개하겠습니다. 오전에 이어 {committee} 소관 안건을 심사하겠습니다.
    """),
    "close": lines("""
        더 이상 질의하실 위원님이 안 계시므로 질의를 종결하겠습니다. 산회를 선포합니다.|({hour}시{minute}분 \
            산회)
        위원님 여러분, 수고 많으셨습니다. 오늘 회의는 이것으로 마치겠습니다. 산회를 \
            선포합니다.|({hour}시{minute}분 산회)
        원만한 회의 진행을 위하여 잠시 정회하고자 합니다. 정회를 선포합니다.|({hour}시{minute}분 회의중지)
    """),
}

ASSEMBLY_LAWS = table(
    "law committee ministry folk gap aim measure figure",
    """
    농어촌도로 정비법; 국토정비위원회; 국토정비부; 농어촌 주민; 보행로가 없는 마을 진입로; 통행 안전을 \
        높이려는 것; 정비 계획을 5년마다 세우도록; 보행자 사고, 미정비 구간
    산림재해 예방법; 농수산위원회; 농수산지원부; 산촌 주민; 관리 주체가 불분명한 비탈면; 산사태 피해를 \
        줄이려는 것; 위험 지역을 미리 지정하도록; 산사태 발생, 복구 지연
    공공도서관 진흥법; 문화진흥위원회; 문화진흥부; 도서관 이용자; 사서가 한 명도 없는 작은 도서관; 독서 \
        환경의 격차를 줄이려는 것; 사서 배치 기준을 두도록; 잦은 휴관, 사서 결원
    돌봄종사자 처우법; 보건돌봄위원회; 보건돌봄부; 돌봄 종사자; 휴게 시간이 보장되지 않는 근무 형태; \
        종사자의 처우를 개선하려는 것; 대체 인력을 지원하도록; 이직, 초과 근무
    하천수질 보전법; 환경보전위원회; 환경보전부; 하류 지역 주민; 관리 대상에서 빠진 소규모 배출 시설; \
        상수원을 안전하게 지키려는 것; 배출 시설을 등록하도록; 수질 기준 초과, 무단 방류
    해양쓰레기 관리법; 해양자원위원회; 해양자원부; 어업인; 수거 책임이 정해지지 않은 섬 지역; 바다 환경을 \
        되살리려는 것; 어구에 실명을 표시하도록; 폐어구 유실, 선박 사고
    기초과학 연구진흥법; 과학기술위원회; 기초과학부; 신진 연구자; 연구비 지원이 끊기는 공백 기간; 장기 \
        연구를 뒷받침하려는 것; 10년 단위 과제를 두도록; 과제 중단, 연구 인력 이탈
    통학버스 안전법; 교육지원위원회; 교육지원부; 통학생; 동승 보호자가 없는 통학 차량; 어린이의 통학 안전을 \
        지키려는 것; 차량 점검 결과를 공개하도록; 통학로 사고, 점검 누락
    전통시장 지원법; 산업통상위원회; 산업지원부; 시장 상인; 화재 보험에 들지 못한 점포; 상인의 생업을 \
        보호하려는 것; 공제 제도를 운영하도록; 점포 화재, 보험 미가입
    소방장비 관리법; 행정안전위원회; 생활안전부; 소방 대원; 내용연수를 넘긴 소방 장비; 대원의 안전을 \
        확보하려는 것; 장비 교체 주기를 정하도록; 노후 장비, 출동 지연
    개인정보 보호관리법; 디지털행정위원회; 디지털행정부; 정보 주체; 동의 없이 보관되는 영상 기록; 정보 \
        주체의 권리를 두텁게 보호하려는 것; 보관 기간을 제한하도록; 유출 신고, 삭제 요청 거부
    장애인 이동편의법; 보건돌봄위원회; 보건돌봄부; 교통 약자; 승강기가 없는 역사; 이동권을 실질적으로 \
        보장하려는 것; 시설 기준을 강화하도록; 시설 미설치, 배차 지연
    농산물 유통법; 농수산위원회; 농수산지원부; 생산 농가; 거래 단계마다 달라지는 가격 정보; 유통 비용을 \
        줄이려는 것; 거래 가격을 공시하도록; 산지 폐기, 가격 급락
    청년창업 촉진법; 산업통상위원회; 산업지원부; 청년 창업자; 초기 기업이 이용할 수 없는 보증 제도; 창업의 \
        문턱을 낮추려는 것; 보증 심사를 간소화하도록; 폐업, 보증 거절
    재생에너지 보급법; 에너지위원회; 에너지부; 발전 사업자; 계통 연결을 기다리는 발전소; 에너지 전환을 \
        앞당기려는 것; 접속 대기 현황을 공개하도록; 출력 제한, 접속 지연
    문화재 수리법; 문화진흥위원회; 문화진흥부; 수리 기능인; 설계도 없이 진행되는 수리 현장; 문화재의 원형을 \
        지키려는 것; 수리 기록을 의무화하도록; 부실 수리, 기능인 감소
""",
)

ASSEMBLY_BILL = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "bill": ("{law} 일부개정법률안", "{law} 전부개정법률안", "{law}안"),
        "growth": range(4, 48),
        "after": words("3개월 6개월 1년 2년"),
        "article": range(3, 62),
        "view": words("타당한 필요한 바람직한 시의적절한 의미_있는"),
    },
    parts=(
        one("{chair} {open}"),
        one("""
            의사일정 제{item}항 {bill:을/를} 상정합니다. {name2} 위원님 나오셔서 제안설명해 주시기 바랍니다.
            의사일정 제{item}항, {name2} 위원이 대표발의한 {bill:을/를} 상정합니다. 제안설명을 듣겠습니다.
        """),
        one("""
            |{asker} 존경하는 위원장님, 그리고 선배·동료 위원 여러분! {name2} 위원입니다. {bill}의 \
                제안이유를 말씀드리겠습니다. 현재 {gap} 때문에 {folk:이/가} 불편을 겪고 있습니다. 이에 \
                {measure} 하여 {aim}입니다.
            |{asker} {bill:은/는} {aim}입니다. {gap:을/를} 그대로 두어서는 안 되기에 {measure} \
                규정하였습니다. 아무쪼록 원안대로 의결해 주시기 바랍니다.
            |{asker} 최근 {year}년간 {figure} 사례가 {growth}% 늘었습니다. {gap:이/가} 원인으로 지목되고 \
                있어, {measure} 하는 {bill:을/를} 제안하게 되었습니다.
        """),
        one("""
            |{expert} 검토보고를 드리겠습니다. 개정안 제{article}조는 {measure} 하는 것으로, {folk:을/를} \
                보호한다는 점에서 {view} 입법으로 보입니다. 다만 시행일은 공포 후 {after:으로/로} 조정할 \
                필요가 있습니다.
            |{expert} {bill}에 대한 검토의견입니다. {aim:이라는/라는} 취지는 {view} 것으로 보이나, 재정 \
                부담에 관하여 {ministry}의 의견을 들을 필요가 있습니다.
        """),
        some(
            1,
            2,
            """
            |{backer} {name3} 위원입니다. {gap}에 대하여 {ministry:은/는} 실태를 파악하고 있습니까? \
                {~demand} |{minister} {~thanks} {~pledge}
            |{backer} 장관께 묻겠습니다. {measure} 하면 {region} 지역의 {folk:은/는} 어떤 도움을 받습니까? \
                |{minister} {region} 지역을 우선 지원할 계획입니다. {~pledge}
        """,
        ),
        one("""
            |{chair} 다른 의견 없으십니까? |{silence} |{bill:은/는} 원안대로 의결하고자 하는데 이의 \
                없으십니까? |{silence} |가결되었음을 선포합니다.
            |{chair} 토론을 종결하고 의결하도록 하겠습니다. 제{article}조의 시행일을 공포 후 {after:으로/로} \
                수정한 부분은 수정안대로, 나머지는 원안대로 의결하고자 합니다. 이의 없으십니까? |{silence} \
                |가결되었음을 선포합니다.
            |{chair} {bill:은/는} 보다 깊이 있는 심사를 위하여 법안심사소위원회에 회부하겠습니다. 이의 \
                없으시지요? |{silence}
        """),
    ),
)

ASSEMBLY_BUDGET = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "base": range(24, 640),
        "added": range(3, 90),
        "planned": total("base", "added"),
        "spent": range(41, 96),
        "left": lambda value: 100 - value("spent"),
        "place": range(12, 240),
        "program": words(
            "실태_조사 시설_개선 인력_양성 상담_창구_운영 정보_시스템_구축 안전_점검 장비_교체 지역_거점_조성"
        ),
        "reason": words(
            "사업자_선정이_늦어진 부지_확보가_지연된 지방비_매칭이_이루어지지_않은 "
            "설계_변경이_있었던 수요_조사가_부실했던"
        ),
        "project": ("{folk} {program} 사업",),
    },
    parts=(
        one("{chair} {open}"),
        one("""
            의사일정 제{item}항 {ministry} 소관 예산안을 상정합니다. {ministry}차관 나오셔서 제안설명해 \
                주시기 바랍니다.
            {ministry} 소관 세입세출예산안에 대한 대체토론에 들어가겠습니다. 먼저 차관의 설명을 듣겠습니다.
        """),
        one("""
            |{vice} {ministry}차관 {name7}입니다. {project}에는 올해 {base}억 원보다 {added}억 원 증액한 \
                {planned}억 원을 편성하였습니다. {aim:으로/로} 이해해 주시면 감사하겠습니다.
            |{vice} 보고드리겠습니다. {project:은/는} {base}억 원에서 {added}억 원을 늘려 모두 {planned}억 \
                원을 요구하였습니다. {gap:으로/로} 인한 문제를 해결하는 데 쓰겠습니다.
        """),
        some(
            2,
            3,
            """
            |{asker} {name2} 위원입니다. {project}의 집행률이 {spent}%에 그쳤습니다. 나머지 {left}%는 왜 \
                쓰지 못했습니까? |{vice} {reason} 탓입니다. {~pledge}
            |{backer} {planned}억 원으로 {place}개소를 지원한다고 하셨는데, {region} 지역은 몇 곳이나 \
                포함됩니까? |{vice} {region} 지역을 우선 반영하겠습니다. 명단은 정리하는 대로 \
                제출하겠습니다.
            |{asker} {added}억 원을 증액한 산출 근거가 부족합니다. {~demand}|{vice} {~thanks} {~pledge}
            |{backer} {figure} 문제가 {year}년째 되풀이되고 있습니다. {project}만으로 해결이 \
                되겠습니까?|{vice} {~thanks} {~pledge}
        """,
        ),
        one("""
            |{chair} {project:은/는} 예산안심사소위원회에서 다시 논의하도록 하겠습니다. {close}
            |{chair} 위원님들 의견을 종합하여 {project}에는 {planned}억 원을 그대로 반영하되, 집행 상황을 \
                분기마다 보고받는 것으로 하겠습니다. 이의 없으십니까? |{silence}
        """),
    ),
)

ASSEMBLY_PLENARY = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "bill": ("{law} 일부개정법률안(대안)", "{law} 일부개정법률안", "{law} 전부개정법률안(대안)"),
        "yes": range(131, 262),
        "no": range(0, 31),
        "abstain": range(0, 19),
        "present": total("yes", "no", "abstain"),
        "count": range(2, 9),
        "reporter": ("○{committee}위원장대리 {name2}",),
        "debater": ("○{name3} 의원",),
    },
    parts=(
        one("""
            {speaker} 의석을 정리해 주시기 바랍니다. 성원이 되었으므로 본회의를 개의하겠습니다. 보고사항은 \
                회의록에 게재하겠습니다.
            {speaker} 성원이 되었으므로 제{session}회 국회 제{sitting}차 본회의를 개의하겠습니다.
            {speaker} 회의를 속개하겠습니다. 의사일정에 따라 안건을 처리하겠습니다.
        """),
        one("""
            |{speaker} 의사일정 제{item}항 {bill:을/를} 상정합니다. {committee}의 {name2} 의원 나오셔서 \
                심사보고해 주시기 바랍니다.
            |{speaker} 다음은 의사일정 제{item}항, {committee:이/가} 제출한 {bill:을/를} 상정합니다. \
                심사보고를 듣겠습니다.
        """),
        one("""
            |{reporter} 존경하는 의장님, 그리고 동료 의원 여러분! {committee}에서 심사한 {bill}의 심사결과를 \
                보고드리겠습니다. 이 법안은 {measure} 하여 {aim:으로/로}, 법률안 {count}건을 통합하여 위원회 \
                대안을 마련한 것입니다.
            |{reporter} {bill}에 대한 심사결과를 말씀드리면, {gap:으로/로} 인한 문제를 해소하기 위하여 \
                {measure} 하였습니다. 자세한 내용은 단말기의 회의자료를 참조해 주시고, 우리 위원회가 제안한 \
                대로 의결해 주시기 바랍니다.
        """),
        maybe("""
            |{speaker} 토론 신청이 있으므로 {name3} 의원의 토론을 듣겠습니다. |{debater} 본 의원은 \
                {folk:을/를} 위하여 이 법안에 찬성합니다. {region} 지역에서 {figure} 문제를 직접 보았기 \
                때문입니다. 의원 여러분의 동참을 호소드립니다.
            |{debater} 의사진행발언입니다. {bill:은/는} {region} 지역의 사정을 더 살펴야 합니다. {measure} \
                하더라도 준비 기간이 충분해야 한다는 점을 말씀드립니다.
        """),
        one("""
            |{speaker} 그러면 의사일정 제{item}항을 의결하겠습니다. 투표해 주시기 바랍니다. |(전자투표) \
                |투표를 마치겠습니다. 투표 결과를 말씀드리겠습니다. 재석 {present}인 중 찬성 {yes}인, 반대 \
                {no}인, 기권 {abstain}인으로서 {bill:은/는} 가결되었음을 선포합니다.
            |{speaker} 더 토론하실 의원이 안 계시므로 표결하겠습니다. |(전자투표) |재석 {present}인 중 찬성 \
                {yes}인, 반대 {no}인, 기권 {abstain}인으로서 의사일정 제{item}항은 가결되었음을 선포합니다.
        """),
        maybe("""
            |(투표 의원 성명은 끝에 실음)
            |{speaker} 의원 여러분, 수고하셨습니다. 산회를 선포합니다. |({hour}시{minute}분 산회)
            |{speaker} 다음 본회의는 의사일정이 협의되는 대로 알려 드리겠습니다. 산회를 선포합니다. \
                |({hour}시{minute}분 산회)
        """),
    ),
)

ASSEMBLY_QUESTION = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "cases": range(24, 980),
        "growth": range(4, 66),
        "checked": range(11, 88),
        "minutes": range(5, 16),
        "visit": words("지난주 지난달 어제 국정감사_기간에 휴회_기간에"),
    },
    parts=(
        one("{chair} {open}"),
        one("""
            오늘은 {ministry:을/를} 상대로 현안질의를 하겠습니다. 질의 순서에 따라 {name2} 위원님 질의해 \
                주시기 바랍니다.
            {ministry} 소관 업무보고에 이어 질의를 진행하겠습니다. 질의시간은 답변을 포함하여 \
                {minutes}분입니다. {name2} 위원님 질의하십시오.
        """),
        one("""
            |{asker} 장관님, {visit} {region} 지역을 다녀왔습니다. {gap:이/가} 그대로 방치되어 있더군요. \
                알고 계십니까? |{minister} 예, 보고를 받았습니다. {~thanks}
            |{asker} 자료 화면을 봐 주십시오. {figure} 사례가 지난해에만 {cases}건입니다. {growth}%나 \
                늘었어요. 원인이 무엇입니까? |{minister} {gap:을/를} 주된 원인으로 파악하고 있습니다.
        """),
        some(
            2,
            3,
            """
            |{asker} 그러면 점검은 했습니까?|{minister} 전체의 {checked}%를 점검하였고 나머지는 올해 안에 \
                마치겠습니다.
            |{asker} {folk:은/는} 하루가 급합니다. {~demand}|{minister} {~pledge}
            |{asker} {law:을/를} 개정해서라도 {measure} 해야 하지 않겠습니까?|{minister} 입법 취지에 \
                동의합니다. {~pledge}
            |{asker} 매번 같은 답변입니다. {year}년 전에도 검토하겠다고 하셨습니다.|{minister} 송구스럽게 \
                생각합니다. {~pledge}
            |{backer} 보충질의하겠습니다. {region} 지역 {folk:과/와} 간담회를 열 의향이 있습니까?|{minister} \
                일정을 잡아 직접 찾아뵙겠습니다.
            |{backer} 의사진행발언입니다. {ministry:이/가} 제출한 {figure} 관련 자료가 사실과 다릅니다. \
                {~demand}|{minister} 확인하여 바로잡겠습니다.
        """,
        ),
        one("""
            |{chair} {name2} 위원님 수고하셨습니다. {ministry:은/는} 요구 자료를 빠짐없이 제출해 주시기 \
                바랍니다. {close}
            |{chair} 장관께서는 {folk}의 어려움을 헤아려 후속 조치에 만전을 기해 주시기 바랍니다. {close}
        """),
    ),
)

ASSEMBLY_SPEECH = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "orator": ("○{name2} 의원",),
        "cases": range(30, 890),
        "letter": words("편지_한_통 서명부 호소문 민원서 사진_한_장 손글씨_쪽지"),
        "call": words("간곡히 거듭 다시_한번 강력히 정중히"),
    },
    parts=(
        one("""
            {speaker} 다음은 5분자유발언을 듣도록 하겠습니다. {name2} 의원 나오셔서 발언해 주시기 바랍니다.
            {speaker} 안건 심의에 앞서 {name2} 의원의 5분자유발언이 있겠습니다.
        """),
        one("""
            |{orator} 존경하는 국민 여러분, 의장님과 선배·동료 의원 여러분! {committee} 소속 {name2} \
                의원입니다.
            |{orator} 발언 기회를 주신 의장님께 감사드립니다. {name2} 의원입니다.
        """),
        some(
            4,
            6,
            """
            저는 오늘 {region} 지역 {folk:이/가} 겪는 어려움을 말씀드리고자 이 자리에 섰습니다.
            얼마 전 {folk:으로/로}부터 {letter:을/를} 받았습니다. {gap:을/를} 하루빨리 살펴 달라는 \
                내용이었습니다.
            지난해 {figure} 문제로 접수된 민원만 {cases}건에 이릅니다.
            그런데도 {ministry:은/는} {year}년이 지나도록 검토 중이라는 말만 되풀이하고 있습니다.
            {law:을/를} 고쳐 {measure} 해야 합니다.
            이는 특정 지역의 문제가 아니라 우리 모두의 문제입니다.
            {gap:을/를} 방치하는 한 {figure} 문제는 해결되지 않습니다.
            정부는 {region} 지역부터 실태를 조사해야 합니다.
            예산이 없다는 말은 더 이상 이유가 될 수 없습니다.
            {region} 지역에서 만난 {folk:은/는} 저에게 {letter:을/를} 건네며 눈물을 보였습니다.
            {gap} 문제는 어제오늘의 일이 아닙니다.
        """,
        ),
        one("""
            {ministry}에 {call} 촉구합니다. {folk:을/를} 위하여 {measure} 제도를 바꾸어 주십시오. 경청해 \
                주셔서 감사합니다.
            동료 의원 여러분께 {call} 호소드립니다. {law} 개정에 힘을 모아 주십시오. 감사합니다.
        """),
        one("""
            |{speaker} {name2} 의원 수고하셨습니다. 이상으로 5분자유발언을 마치겠습니다.
            |{speaker} 수고하셨습니다. {ministry:은/는} {name2} 의원의 발언 내용을 검토하여 주시기 바랍니다.
        """),
    ),
)

ASSEMBLY_HEARING = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "witness": ("○진술인 {name8}",),
        "other": ("○진술인 {name9}",),
        "post": words("연구원_선임연구위원 협회_사무국장 대학교_교수 연합회_정책위원 조합_이사 재단_연구실장"),
        "minutes": range(5, 16),
        "rate": range(51, 94),
        "stand": words("찬성하는 조건부로_찬성하는 신중해야_한다는 보완이_필요하다는"),
        "worry": words("비용_부담 준비_부족 현장의_혼란 인력_부족 형평성_문제 중복_규제"),
    },
    parts=(
        one("{chair} {open}"),
        one("""
            의사일정 제{item}항 {law} 개정에 관한 공청회를 상정합니다. 진술 시간은 {minutes}분 이내로 해 \
                주시기 바랍니다. {name8} 진술인 진술해 주시기 바랍니다.
            오늘 공청회는 {law} 개정에 관한 각계 의견을 듣기 위한 것입니다. 진술인 여러분께 감사드리며 \
                {name8} 진술인부터 진술하시겠습니다.
        """),
        one("""
            |{witness} {folk} {post} {name8}입니다. 저는 {law} 개정에 {stand} 입장입니다. {measure} 하는 \
                것은 {aim:이라고/라고} 보기 때문입니다.
            |{witness} {post} {name8}입니다. 조사에 따르면 {folk}의 {rate}%가 개정이 필요하다고 답했습니다. \
                {gap:이/가} 가장 큰 이유였습니다.
        """),
        one("""
            |{other} {name9}입니다. {worry:을/를} 먼저 살펴야 합니다. {measure} 하더라도 {region} 지역은 \
                유예 기간이 필요합니다.
            |{other} 저는 {worry:을/를} 말씀드리겠습니다. {law}의 취지에는 공감하지만 {worry:이/가} 해소되지 \
                않으면 {folk:이/가} 오히려 불편해질 수 있습니다.
        """),
        maybe("""
            |{chair} 그러면 위원님들 질의하시겠습니다.
            |{chair} 질의하실 위원님께서는 발언 신청을 해 주시기 바랍니다. 답변은 짧게 해 주십시오.
        """),
        some(
            1,
            2,
            """
            |{asker} {name9} 진술인께 여쭙겠습니다. {worry:을/를} 줄일 방안이 있습니까?|{other} 단계적으로 \
                시행하면 {worry:을/를} 크게 줄일 수 있다고 봅니다.
            |{backer} {name8} 진술인, {figure} 통계를 더 설명해 주시겠습니까?|{witness} {figure} 사례의 \
                {rate}%가 {region} 지역에서 나왔습니다. 자료를 서면으로 제출하겠습니다.
            |{asker} 외국의 사례도 있습니까?|{witness} 비슷한 제도를 {year}년째 운영하는 나라가 있습니다. \
                {folk}의 만족도가 높다고 합니다.
        """,
        ),
        one("""
            |{chair} 진술인 여러분, 유익한 말씀 감사합니다. 오늘 의견은 {law}의 심사에 참고하겠습니다. \
                이상으로 공청회를 마치겠습니다.
            |{chair} {name8}, {name9} 두 분 진술인 수고하셨습니다. {close}
        """),
    ),
)

ASSEMBLY_PETITION = Kind(
    tables=(ASSEMBLY_LAWS,),
    slots={
        "signers": range(50200, 98000, 7),
        "petitioner": ("청원인 {name8}",),
        "sponsor": ("○{name2} 위원",),
        "petition": lines("""
            {law} 개정에 관한 청원
            {folk} 보호 대책 마련에 관한 청원
            {figure} 문제 해결을 위한 청원
        """),
        "period": words("30일 60일 90일"),
        "choice": words("본회의에_부의하기로 계속_심사하기로 정부로_이송하기로"),
        "sub": ("○청원심사소위원장 {name3}",),
    },
    parts=(
        one("{chair} {open}"),
        one("""
            의사일정 제{item}항 {petition:을/를} 상정합니다. 소개하신 {name2} 위원님 취지를 설명해 주시기 \
                바랍니다.
            의사일정 제{item}항, 국민 {signers}인의 동의로 접수된 {petition:을/를} 상정합니다. 청원의 취지는 \
                {name2} 위원님이 설명하시겠습니다.
        """),
        one("""
            |{sponsor} {petition:은/는} {petitioner:이/가} 제출한 것으로, {signers}인이 동의하였습니다. \
                {gap:으로/로} 인하여 {folk:이/가} 어려움을 겪고 있으니 {measure} 해 달라는 내용입니다.
            |{sponsor} {petitioner:은/는} {region} 지역에서 {figure} 문제를 겪은 분입니다. {measure} 법을 \
                고쳐 달라는 것이 청원의 요지입니다.
        """),
        one("""
            |{sub} 심사결과를 보고드립니다. 소위원회는 {petition}의 취지가 타당하다고 보아 {choice} \
                하였습니다.
            |{sub} {petition}에 대하여 {ministry}의 의견을 들은 결과, {period}의 추가 검토가 필요하다는 데 \
                의견을 모았습니다.
        """),
        some(
            1,
            2,
            """
            |{chair} {ministry} 의견을 말씀해 주십시오.|{vice} {~thanks} {~pledge}
            |{sponsor} {signers}인의 뜻이 담긴 청원입니다. {~demand}|{vice} {~pledge}
            |{backer} {petitioner}의 의견을 직접 들을 기회가 있어야 합니다.|{chair} 간사 위원님들과 \
                협의하겠습니다.
        """,
        ),
        one("""
            |{chair} {petition:은/는} 소위원회에서 심사보고한 대로 의결하고자 하는데 이의 없으십니까? \
                |{silence} |가결되었음을 선포합니다.
            |{chair} {petition:은/는} 심사기간을 {period} 연장하는 것으로 하겠습니다. 이의 없으십니까? \
                |{silence} |{close}
        """),
    ),
)

ASSEMBLY_KINDS = (
    ASSEMBLY_BILL,
    ASSEMBLY_BUDGET,
    ASSEMBLY_PLENARY,
    ASSEMBLY_QUESTION,
    ASSEMBLY_SPEECH,
    ASSEMBLY_HEARING,
    ASSEMBLY_PETITION,
)

GRAMMAR = Grammar(ASSEMBLY_SLOTS, ASSEMBLY_KINDS)
